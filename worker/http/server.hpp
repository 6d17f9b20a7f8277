#pragma once

// The loop of topsman-http: one thread, one io_context. Takes connections from every listener until
// the stop signal, then serves what is there until the last connection has gone.

#include "topsman/acceptor.hpp"
#include "topsman/worker.hpp"
#include "worker/http/options.hpp"
#include "worker/http/routes.hpp"
#include "worker/http/session.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/list.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace topsman::http {

class Server {
  public:
    [[nodiscard]] static Result<void> run(Worker worker, const Options& options);

    // For the sessions.
    [[nodiscard]] Worker& worker() noexcept { return worker_; }

    [[nodiscard]] Routes& routes() noexcept { return routes_; }

    [[nodiscard]] const Options& options() const noexcept { return options_; }

    [[nodiscard]] bool is_draining() const noexcept { return is_draining_; }

    [[nodiscard]] std::string_view greeting(bool keep_alive) const noexcept {
        return keep_alive ? greeting_ : last_greeting_;
    }

    /// To within a few milliseconds, which is enough for time-outs and costs no system call.
    [[nodiscard]] static Session::Time now() noexcept;

    void count_answer(unsigned status) noexcept {
        requests_.add();
        if (status >= 400) {
            errors_.add();
        }
    }

    void count_bytes(std::size_t bytes) noexcept { bytes_.add(bytes); }

    /// Does anybody want to know how long requests take?
    [[nodiscard]] bool is_timed() const noexcept { return times_.has_value(); }

    void count_time(std::chrono::microseconds time) noexcept {
        times_->record(static_cast<std::uint64_t>(time.count()));
    }

    void session_ended();

  private:
    struct Metrics {
        Counter requests;
        Counter errors;
        Counter bytes;
        Gauge connections;
        std::optional<Histogram> times;
    };

    Server(Worker worker, const Options& options, Routes routes, Metrics metrics);

    [[nodiscard]] static Result<Metrics> register_metrics(Worker worker);
    [[nodiscard]] Result<void> open_acceptors();
    void name_yourself();
    void on_connection(UniqueFd connection);
    void watch_for_drain();
    void drain();
    void end_if_empty();
    void beat();
    void tick();
    void start_ticking();
    void tell_status();

    asio::io_context loop_{1};
    Worker worker_;
    Options options_;
    Routes routes_;
    Counter requests_;
    Counter errors_;
    Counter bytes_;
    Gauge connections_;
    std::optional<Histogram> times_;  ///< if the cluster has it
    std::string greeting_;
    std::string last_greeting_;
    std::vector<Acceptor> acceptors_;
    asio::posix::stream_descriptor drain_signal_;
    asio::steady_timer beat_timer_;
    asio::steady_timer tick_timer_;
    asio::steady_timer drain_timer_;
    boost::intrusive::list<Session, boost::intrusive::constant_time_size<false>> sessions_;
    std::uint32_t open_ = 0;
    std::uint32_t told_ = 0;
    bool is_ticking_ = false;
    bool is_draining_ = false;
    bool is_ending_ = false;
};

}  // namespace topsman::http
