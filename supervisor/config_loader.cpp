#include "supervisor/config_loader.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <deque>
#include <mutex>
#include <system_error>
#include <thread>

namespace topsman::supervisor {

namespace {

constexpr std::size_t kMaxWaiting = 64;

}  // namespace

Candidate load_candidate(const std::string& file) {
    Candidate candidate;
    candidate.loaded = config::load_file(file, config::Environment::of_this_process());
    if (candidate.loaded.config) {
        Result<Specs> specs = prepare_specs(*candidate.loaded.config);
        auto owners = posix::resolve_owners(candidate.loaded.config->listeners);
        if (!specs || !owners) {
            candidate.trouble = specs ? owners.error().message : specs.error().message;
        } else {
            candidate.specs = std::move(*specs);
            candidate.owners = std::move(*owners);
        }
    }
    return candidate;
}

Candidate prepare_again(const std::map<core::Generation, Specs>& generations) {
    Candidate candidate;
    for (const auto& [generation, specs] : generations) {
        for (const auto& [name, before] : specs) {
            Result<SpecPtr> spec = prepare_spec(before->pool, before->origin);
            if (!spec) {
                candidate.trouble = spec.error().message;
                return candidate;
            }
            candidate.renewed[generation][name] = std::move(*spec);
        }
    }
    return candidate;
}

// Shared with the thread, which may outlive the loader when a disk hangs: `io` is null by then.
struct ConfigLoader::State : std::enable_shared_from_this<ConfigLoader::State> {
    std::mutex mutex;
    boost::asio::io_context* io = nullptr;  // under the mutex
    // The loop's thread only.
    std::deque<std::pair<Job, Done>> waiting;
    bool busy = false;

    void start_next() {
        if (busy || waiting.empty()) {
            return;
        }
        busy = true;
        Job job = std::move(waiting.front().first);
        const Done done = std::move(waiting.front().second);
        waiting.pop_front();
        try {
            // The thread inherits the loop's blocked signals, so that they all arrive at the loop.
            std::thread([self = shared_from_this(), job = std::move(job), done] {
                self->hand_over(done, job());
            }).detach();
        } catch (const std::system_error& error) {
            // No room for one more thread: pids.max of a cgroup, RLIMIT_NPROC.
            Candidate none;
            none.trouble =
                "the configuration cannot be read: new thread: " + error.code().message();
            hand_over(done, std::move(none));
        }
    }

    void hand_over(const Done& done, Candidate candidate) {
        auto kept = std::make_shared<Candidate>(std::move(candidate));
        const std::lock_guard lock(mutex);
        if (io != nullptr) {
            boost::asio::post(*io, [self = shared_from_this(), done, kept] {
                self->busy = false;
                done(std::move(*kept));
                self->start_next();
            });
        }
    }
};

ConfigLoader::ConfigLoader(boost::asio::io_context& io) : state_(std::make_shared<State>()) {
    state_->io = &io;
}

ConfigLoader::~ConfigLoader() {
    const std::lock_guard lock(state_->mutex);
    state_->io = nullptr;
}

bool ConfigLoader::is_busy() const {
    return state_->busy || !state_->waiting.empty();
}

bool ConfigLoader::submit(Job job, Done done) {
    if (state_->waiting.size() >= kMaxWaiting) {
        return false;
    }
    state_->waiting.emplace_back(std::move(job), std::move(done));
    state_->start_next();
    return true;
}

}  // namespace topsman::supervisor
