#include "worker/http/routes.hpp"

#include <boost/json.hpp>

#include <charconv>
#include <cstdint>
#include <optional>
#include <unistd.h>

namespace topsman::http {

namespace {

constexpr std::uint32_t kMaxFib = 40;  // about half a second of one core
constexpr std::uint32_t kMaxSleepMs = 60'000;

/// The value of `name` in "a=1&b=2" when it is a whole number up to `max`.
std::optional<std::uint32_t> number_in(std::string_view query, std::string_view name,
                                       std::uint32_t max) {
    while (!query.empty()) {
        const auto end = query.find('&');
        const std::string_view pair = query.substr(0, end);
        query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
        if (!pair.starts_with(name) || pair.size() <= name.size() || pair[name.size()] != '=') {
            continue;
        }
        const std::string_view text = pair.substr(name.size() + 1);
        std::uint32_t number = 0;
        const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error == std::errc{} && at == text.data() + text.size() && number <= max) {
            return number;
        }
        return std::nullopt;
    }
    return std::nullopt;
}

// Slow on purpose: a load that an operator can dose.
std::uint64_t fib(std::uint32_t n) {
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

Answer bad_number(std::string_view name, std::uint32_t max) {
    return {400, std::string(name) + " must be a number from 0 to " + std::to_string(max) + "\n"};
}

Answer not_allowed(std::string_view allow) {
    return {405, "that method is not for this path\n", "text/plain; charset=utf-8", allow};
}

std::string greeting_of(const Worker& worker) {
    return worker.name() + " pid " + std::to_string(::getpid()) + "\n";
}

}  // namespace

Routes::Routes(Worker worker, Shop shop)
    : worker_(worker), shop_(std::move(shop)), greeting_(greeting_of(worker)) {}

void Routes::name_yourself() {
    greeting_ = greeting_of(worker_);
}

std::variant<Answer, Later> Routes::answer(Method method, std::string_view target) {
    const auto mark = target.find('?');
    const std::string_view path = target.substr(0, mark);
    const std::string_view query =
        mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
    if (path == "/orders") {
        return method == Method::Post ? order() : not_allowed("Allow: POST\r\n");
    }
    const bool known = path == "/" || path == "/healthz" || path == "/counters" || path == "/fib" ||
                       path == "/sleep";
    if (!known) {
        return Answer{404,
                      "nothing here: try / /healthz /counters /fib?n=30 /sleep?ms=100 or "
                      "POST /orders\n"};
    }
    if (method != Method::Get && method != Method::Head) {
        return not_allowed("Allow: GET, HEAD\r\n");
    }
    if (path == "/") {
        return Answer{200, greeting_};
    }
    if (path == "/healthz") {
        return Answer{200, "ok\n"};
    }
    if (path == "/counters") {
        return counters();
    }
    if (path == "/fib") {
        const auto n = number_in(query, "n", kMaxFib);
        return n ? Answer{200, std::to_string(fib(*n)) + "\n"} : bad_number("n", kMaxFib);
    }
    const auto ms = number_in(query, "ms", kMaxSleepMs);
    if (!ms) {
        return bad_number("ms", kMaxSleepMs);
    }
    return Later{std::chrono::milliseconds(*ms),
                 Answer{200, "slept " + std::to_string(*ms) + " ms\n"}};
}

Answer Routes::counters() const {
    boost::json::object totals;
    for (const Worker::Total& total : worker_.counter_totals()) {
        totals[total.name] = total.value;
    }
    return {200, boost::json::serialize(totals) + "\n", "application/json"};
}

Answer Routes::order() {
    const Shop::Receipt receipt = shop_.order();
    switch (receipt.order) {
        case Shop::Order::Taken:
            return {201, "ordered; " + std::to_string(receipt.left) + " left\n"};
        case Shop::Order::SoldOut:
            return {409, "sold out\n"};
        case Shop::Order::Unavailable:
            break;
    }
    return {503, "the stock cannot be reached\n"};
}

}  // namespace topsman::http
