#include "worker/http/server.hpp"

#include "worker/http/listen.hpp"

#include <ctime>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <set>
#include <sys/socket.h>
#include <unistd.h>

namespace topsman::http {

namespace {

constexpr std::chrono::seconds kTick{1};

std::string whole(const Answer& answer, bool keep_alive) {
    std::string text;
    write_answer(text, answer, {keep_alive, false});
    return text;
}

int family_of(int fd) {
    int family = AF_UNSPEC;
    socklen_t size = sizeof family;
    (void)::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
    return family;
}

}  // namespace

Result<void> Server::run(Worker worker, const Options& options) {
    auto shop = Shop::open(worker, options.stock);
    if (!shop) {
        return shop.error();
    }
    auto metrics = register_metrics(worker);
    if (!metrics) {
        return metrics.error();
    }
    Server server(worker, options, Routes(worker, std::move(*shop)), *metrics);
    if (auto done = server.open_acceptors(); !done) {
        return done;
    }
    server.name_yourself();  // who was a spare has waited for its name in there
    server.watch_for_drain();
    server.beat();
    // A supervisor that cannot hear it has a deadline for that; serving goes first.
    (void)worker.ready();
    server.loop_.run();
    server.is_ending_ = true;
    server.connections_.set(0);
    return {};
}

Server::Server(Worker worker, const Options& options, Routes routes, Metrics metrics)
    : worker_(worker),
      options_(options),
      routes_(std::move(routes)),
      requests_(metrics.requests),
      errors_(metrics.errors),
      bytes_(metrics.bytes),
      connections_(metrics.connections),
      times_(metrics.times),
      drain_signal_(loop_),
      beat_timer_(loop_),
      tick_timer_(loop_),
      drain_timer_(loop_) {}

Result<Server::Metrics> Server::register_metrics(Worker worker) {
    const auto requests = worker.counter("http_requests");
    const auto errors = worker.counter("http_errors");
    const auto bytes = worker.counter("http_bytes");
    const auto connections = worker.gauge("http_connections");
    for (const auto* counter : {&requests, &errors, &bytes}) {
        if (!*counter) {
            return counter->error();
        }
    }
    if (!connections) {
        return connections.error();
    }
    std::optional<Histogram> times;
    if (worker.has_segment()) {
        if (const auto declared = worker.histogram("http_request_us")) {
            times = *declared;
        }
    }
    return Metrics{*requests, *errors, *bytes, *connections, times};
}

Result<void> Server::open_acceptors() {
    if (!options_.listen.empty()) {
        auto socket = listen_at(options_.listen, options_.reuse_port);
        if (!socket) {
            return socket.error();
        }
        auto acceptor = Acceptor::over(loop_, worker_, std::move(*socket));
        if (!acceptor) {
            return acceptor.error();
        }
        acceptors_.push_back(std::move(*acceptor));
    }
    std::set<std::string> names;
    for (const InheritedListener& listener : worker_.listeners()) {
        if (!names.insert(listener.name).second) {
            continue;
        }
        auto acceptor = Acceptor::open(loop_, worker_, listener.name);
        if (!acceptor) {
            return acceptor.error();
        }
        acceptors_.push_back(std::move(*acceptor));
    }
    if (acceptors_.empty()) {
        return plain_error("nothing to listen at: give the pool `listeners: [NAME]`, or --listen");
    }
    for (Acceptor& acceptor : acceptors_) {
        acceptor.start([this](UniqueFd connection) { on_connection(std::move(connection)); });
    }
    return {};
}

void Server::name_yourself() {
    routes_.name_yourself();
    greeting_ = whole({200, routes_.greeting()}, true);
    last_greeting_ = whole({200, routes_.greeting()}, false);
}

void Server::on_connection(UniqueFd connection) {
    const int family = family_of(connection.get());
    if (family != AF_UNIX) {
        const int on = 1;
        (void)::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    Session::Socket socket(loop_.get_executor());
    boost::system::error_code error;
    socket.assign(asio::generic::stream_protocol(family, 0), connection.get(), error);
    if (error) {
        return;
    }
    (void)connection.release();
    ++open_;
    connections_.set(open_);
    const auto session = std::make_shared<Session>(*this, std::move(socket));
    sessions_.push_back(*session);
    start_ticking();
    session->start();
}

void Server::session_ended() {
    if (is_ending_) {
        return;
    }
    --open_;
    connections_.set(open_);
    end_if_empty();
}

void Server::watch_for_drain() {
    // Asio closes what it holds; the SDK's descriptor stays the SDK's.
    drain_signal_.assign(::dup(worker_.drain_fd()));
    drain_signal_.async_wait(asio::posix::stream_descriptor::wait_read,
                             [this](const boost::system::error_code& error) {
                                 if (!error) {
                                     drain();
                                 }
                             });
}

void Server::drain() {
    is_draining_ = true;
    for (Acceptor& acceptor : acceptors_) {
        acceptor.stop();
    }
    (void)worker_.stopping();
    drain_timer_.expires_after(options_.drain_timeout);
    drain_timer_.async_wait([this](const boost::system::error_code& error) {
        if (!error) {
            loop_.stop();
        }
    });
    end_if_empty();
}

void Server::end_if_empty() {
    if (is_draining_ && open_ == 0) {
        loop_.stop();
    }
}

void Server::beat() {
    const auto timeout = worker_.watchdog_timeout();
    if (timeout.count() == 0) {
        return;
    }
    worker_.beat();
    beat_timer_.expires_after(timeout / 3);
    beat_timer_.async_wait([this](const boost::system::error_code& error) {
        if (!error) {
            beat();
        }
    });
}

// Ticks only while there are connections: an idle worker wakes for nothing.
void Server::start_ticking() {
    if (is_ticking_) {
        return;
    }
    is_ticking_ = true;
    tick_timer_.expires_after(kTick);
    tick_timer_.async_wait([this](const boost::system::error_code& error) {
        is_ticking_ = false;
        if (!error) {
            tick();
        }
    });
}

void Server::tick() {
    const Session::Time time = now();
    for (auto at = sessions_.begin(); at != sessions_.end();) {
        const auto session = (at++)->shared_from_this();  // May end, and leave the list, here.
        session->look_at_clock(time);
    }
    tell_status();
    if (open_ > 0) {
        start_ticking();
    }
}

void Server::tell_status() {
    if (open_ != told_) {
        told_ = open_;
        (void)worker_.status(std::to_string(open_) + (open_ == 1 ? " connection" : " connections"));
    }
}

Session::Time Server::now() noexcept {
    timespec time = {};
    (void)::clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return Session::Time(std::chrono::seconds(time.tv_sec) +
                         std::chrono::nanoseconds(time.tv_nsec));
}

}  // namespace topsman::http
