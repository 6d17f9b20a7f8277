#include "topsman/worker.hpp"
#include "worker/http/options.hpp"
#include "worker/http/server.hpp"

#include <cstdio>
#include <exception>

namespace {

int run(const topsman::http::Options& options) {
    auto worker = topsman::Worker::attach();
    if (!worker) {
        (void)std::fprintf(stderr, "topsman-http: %s\n", worker.error().message.c_str());
        return 1;
    }
    auto done = worker->install_crash_handler();
    if (done) {
        done = topsman::http::Server::run(*worker, options);
    }
    if (!done) {
        worker->last_words(done.error().message);
        (void)std::fprintf(stderr, "topsman-http: %s\n", done.error().message.c_str());
        return 1;
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const auto options = topsman::http::parse_options(argc, argv);
        if (const int* status = std::get_if<int>(&options)) {
            return *status;
        }
        return run(std::get<topsman::http::Options>(options));
    } catch (const std::exception& error) {
        (void)std::fprintf(stderr, "topsman-http: %s\n", error.what());
        return 1;
    }
}
