// A producer or a consumer of the queue "jobs", for tests of whole clusters:
//   job_worker submit TEXT COUNT    submits ("late" when it is too late), then waits to be stopped
//   job_worker work                 takes jobs: "kill" kills it, "fail" is nacked, "hold" is kept
//                                   until it is stopped, "later" is put off once, else it is done,
//                                   "echo..." with itself as its result

#include "topsman/worker.hpp"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <string_view>
#include <unistd.h>

namespace {

using topsman::Worker;

void wait_for_stop(const Worker& worker) {
    pollfd stop{.fd = worker.drain_fd(), .events = POLLIN, .revents = 0};
    while (!worker.draining()) {
        (void)::poll(&stop, 1, -1);
    }
}

int submit(Worker& worker, std::string_view text, std::uint64_t count) {
    topsman::JobQueue jobs = worker.queue("jobs").value();
    topsman::JobOptions options;
    if (text == "late") {
        options.deadline = std::chrono::steady_clock::now();
    }
    for (std::uint64_t i = 0; i < count; ++i) {
        (void)jobs.submit(text, options).value();
    }
    (void)worker.ready().value();
    wait_for_stop(worker);
    return 0;
}

int work(Worker& worker) {
    topsman::JobQueue jobs = worker.queue("jobs").value();
    topsman::Counter done = worker.counter("done").value();
    (void)worker.ready().value();
    while (auto job = jobs.take().value()) {
        if (job->text() == "kill") {
            (void)::kill(::getpid(), SIGKILL);
        }
        if (job->text() == "fail") {
            (void)job->nack().value();
            continue;
        }
        if (job->text() == "later" && job->attempt() == 1) {
            (void)job->nack(std::chrono::milliseconds(20)).value();
            continue;
        }
        if (job->text() == "hold") {
            wait_for_stop(worker);
        }
        done.add();
        if (job->text().starts_with("echo")) {
            (void)job->ack(job->item()).value();
            continue;
        }
        (void)job->ack().value();
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    auto worker = Worker::attach();
    if (!worker) {
        std::fprintf(stderr, "job_worker: %s\n", worker.error().message.c_str());
        return 78;
    }
    if (argc == 4 && std::string_view(argv[1]) == "submit") {
        return submit(*worker, argv[2], std::strtoull(argv[3], nullptr, 10));
    }
    return work(*worker);
}
