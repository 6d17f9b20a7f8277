#include "worker/c/handles.hpp"
#include "worker/c/last_error.hpp"

#include <cstring>

using topsman::c::done;
using topsman::c::guarded;
using topsman::c::null_argument;

static_assert(TOPSMAN_API_MAJOR == TOPSMAN_VERSION_MAJOR, "the soname says it, too");

namespace {

std::mutex attach_lock;
topsman_worker* the_worker = nullptr;  // never destroyed, as what it stands for

}  // namespace

extern "C" {

int topsman_version(void) {
    return TOPSMAN_API_VERSION;
}

const char* topsman_version_text(void) {
    return TOPSMAN_VERSION_TEXT;
}

int topsman_attach(int stop_signal, topsman_worker** worker) {
    if (worker == nullptr) {
        return null_argument(__func__);
    }
    return guarded([&] {
        const std::scoped_lock hold(attach_lock);
        if (the_worker == nullptr) {
            topsman::AttachOptions options;
            options.handle_stop_signal = stop_signal != 0;
            options.stop_signal = stop_signal != 0 ? stop_signal : options.stop_signal;
            auto attached = topsman::Worker::attach(options);
            if (!attached) {
                return topsman::c::failed(attached.error());
            }
            the_worker = new topsman_worker{*attached, attached->name()};
        }
        *worker = the_worker;
        return 0;
    });
}

int topsman_is_supervised(const topsman_worker* worker) {
    return worker != nullptr && worker->worker.is_supervised() ? 1 : 0;
}

const char* topsman_name(const topsman_worker* worker) {
    return worker == nullptr ? "" : worker->name.c_str();
}

int topsman_listener(const topsman_worker* worker, const char* name) {
    if (worker == nullptr || name == nullptr) {
        return null_argument(__func__);
    }
    return guarded([&] {
        const auto fd = worker->worker.listener(name);
        return fd ? *fd : topsman::c::failed(fd.error());
    });
}

int topsman_ready(topsman_worker* worker) {
    if (worker == nullptr) {
        return null_argument(__func__);
    }
    return guarded([&] { return done(worker->worker.ready()); });
}

int topsman_status(topsman_worker* worker, const char* text) {
    if (worker == nullptr || text == nullptr) {
        return null_argument(__func__);
    }
    return guarded([&] { return done(worker->worker.status(text)); });
}

int topsman_stopping(topsman_worker* worker) {
    if (worker == nullptr) {
        return null_argument(__func__);
    }
    return guarded([&] { return done(worker->worker.stopping()); });
}

int topsman_extend_timeout(topsman_worker* worker, int64_t time_ns) {
    if (worker == nullptr) {
        return null_argument(__func__);
    }
    return guarded([&] {
        if (time_ns < 0) {
            return topsman::c::failed(topsman::plain_error("a time below 0"));
        }
        return done(worker->worker.extend_timeout(
            std::chrono::ceil<std::chrono::microseconds>(std::chrono::nanoseconds(time_ns))));
    });
}

void topsman_beat(topsman_worker* worker) {
    if (worker != nullptr) {
        worker->worker.beat();
    }
}

int64_t topsman_watchdog_ns(const topsman_worker* worker) {
    return worker == nullptr ? 0
                             : std::chrono::nanoseconds(worker->worker.watchdog_timeout()).count();
}

int topsman_draining(const topsman_worker* worker) {
    return worker != nullptr && worker->worker.draining() ? 1 : 0;
}

int topsman_drain_fd(const topsman_worker* worker) {
    return worker == nullptr ? null_argument(__func__) : worker->worker.drain_fd();
}

void topsman_begin_drain(topsman_worker* worker) {
    if (worker != nullptr) {
        worker->worker.begin_drain();
    }
}

void topsman_last_words(topsman_worker* worker, const char* text) {
    if (worker != nullptr && text != nullptr) {
        worker->worker.last_words({text, std::strlen(text)});
    }
}

}  // extern "C"
