// A sender or a receiver of the channel "news", for tests of whole clusters:
//   channel_worker send TEXT COUNT   sends so many, to each slot in turn, then waits to be stopped
//   channel_worker receive           an event loop that counts what it receives: "kill" kills it
//   the
//                                    first time, "hold" is kept until it is stopped

#include "topsman/worker.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <string_view>
#include <unistd.h>

namespace {

using topsman::Worker;

int send(Worker& worker, std::string_view text, std::uint32_t count) {
    topsman::Channel news = worker.channel("news").value();
    for (std::uint32_t i = 0; i < count; ++i) {
        (void)news.send(topsman::To::slot(i % news.slots()), text).value();
    }
    (void)worker.ready().value();
    pollfd stop{.fd = worker.drain_fd(), .events = POLLIN, .revents = 0};
    while (!worker.draining()) {
        (void)::poll(&stop, 1, -1);
    }
    return 0;
}

int receive(Worker& worker) {
    topsman::Channel news = worker.channel("news").value();
    topsman::Counter received = worker.counter("received").value();
    topsman::Atomic<std::uint32_t> deaths = worker.atomic<std::uint32_t>("deaths").value();
    pollfd wanted[] = {{.fd = news.event_fd().value(), .events = POLLIN, .revents = 0},
                       {.fd = worker.drain_fd(), .events = POLLIN, .revents = 0}};
    (void)worker.ready().value();
    std::optional<topsman::Message> held;
    while (!worker.draining()) {
        (void)::poll(wanted, 2, -1);
        while (auto message = news.try_receive().value()) {
            if (message->text() == "kill" && deaths.fetch_add(1) == 0) {
                (void)::kill(::getpid(), SIGKILL);
            }
            if (message->text() == "hold") {
                held.emplace(std::move(*message));
                break;
            }
            received.add();
            (void)message->ack().value();
        }
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    auto worker = Worker::attach();
    if (!worker) {
        std::fprintf(stderr, "channel_worker: %s\n", worker.error().message.c_str());
        return 78;
    }
    if (argc == 4 && std::string_view(argv[1]) == "send") {
        return send(*worker, argv[2],
                    static_cast<std::uint32_t>(std::strtoul(argv[3], nullptr, 10)));
    }
    return receive(*worker);
}
