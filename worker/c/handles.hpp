#pragma once

// What the opaque handles of topsman.h are: the C++ ones, kept for the process's life.

#include "topsman.h"
#include "topsman/worker.hpp"
#include "worker/c/last_error.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

struct topsman_worker {
    topsman::Worker worker;
    std::string name;
};

struct topsman_counter {
    topsman::Counter counter;
};

struct topsman_gauge {
    topsman::Gauge gauge;
};

struct topsman_mutex {
    topsman::Mutex mutex;
};

struct topsman_rate_limiter {
    topsman::RateLimiter limiter;
};

struct topsman_queue {
    topsman::JobQueue queue;
};

struct topsman_job {
    topsman::Job job;
};

struct topsman_result {
    topsman::JobResult result;
    topsman::JobId id;
    std::optional<std::string> bytes = {};  ///< once it was got
};

struct topsman_channel {
    topsman::Channel channel;
};

struct topsman_message {
    topsman::Message message;
};

struct topsman_messages {
    topsman::Messages messages;
};

namespace topsman::c {

/// One handle for each name. Never destroyed: threads may use them while the process ends.
template <class Handle, class Key = std::string>
class Handles {
  public:
    /// The handle of `key`, made of `value` when it is the first.
    template <class Value>
    Handle* of(const Key& key, const Value& value) {
        const std::scoped_lock hold(lock_);
        auto& handle = handles_[key];
        if (handle == nullptr) {
            handle = std::make_unique<Handle>(Handle{value});
        }
        return handle.get();
    }

  private:
    std::mutex lock_;
    std::map<Key, std::unique_ptr<Handle>> handles_;
};

template <class Handle, class Key = std::string>
Handles<Handle, Key>& all_handles() {
    static auto* handles = new Handles<Handle, Key>();
    return *handles;
}

/// The handle of what `find()` finds, a Result, into `*handle`. `key`: what makes it this one.
template <class Key = std::string, class Find, class Handle, class... Parts>
int open(const Find& find, Handle** handle, const Parts&... key) noexcept {
    return guarded([&] {
        const auto found = find();
        if (!found) {
            return failed(found.error());
        }
        *handle = all_handles<Handle, Key>().of(Key(key...), *found);
        return 0;
    });
}

/// When a wait of `timeout_ns` is over.
inline std::chrono::steady_clock::time_point deadline_of(std::int64_t timeout_ns) noexcept {
    using TimePoint = std::chrono::steady_clock::time_point;
    const TimePoint now = std::chrono::steady_clock::now();
    const std::chrono::nanoseconds timeout(timeout_ns);
    return timeout_ns < 0 || timeout > TimePoint::max() - now ? TimePoint::max() : now + timeout;
}

}  // namespace topsman::c
