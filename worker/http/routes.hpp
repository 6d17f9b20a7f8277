#pragma once

#include "topsman/worker.hpp"
#include "worker/http/answer.hpp"
#include "worker/http/shop.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <variant>

namespace topsman::http {

enum class Method { Get, Head, Post, Other };

/// An answer that is due later.
struct Later {
    std::chrono::milliseconds wait;
    Answer answer;
};

/// What is to be said to whom asks for what. Knows no sockets.
class Routes {
  public:
    Routes(Worker worker, Shop shop);

    [[nodiscard]] std::variant<Answer, Later> answer(Method method, std::string_view target);

    /// A spare has its name only when it has a seat.
    void name_yourself();

    /// "web/0 pid 1234\n": what `GET /` says.
    [[nodiscard]] const std::string& greeting() const noexcept { return greeting_; }

  private:
    [[nodiscard]] Answer counters() const;
    [[nodiscard]] Answer order();

    Worker worker_;
    Shop shop_;
    std::string greeting_;
};

}  // namespace topsman::http
