#include "shm/event.hpp"

#include "topsman/event.hpp"
#include "topsman/worker.hpp"
#include "worker/process.hpp"

namespace topsman {

namespace {

using detail::Process;

constexpr shm::Reset reset_of(EventReset kind) noexcept {
    return kind == EventReset::Auto ? shm::Reset::Auto : shm::Reset::Manual;
}

}  // namespace

void Event::set() noexcept {
    if (const Process* process = detail::attached()) {
        shm::Event(*object_).set(process->lanes);
    }
}

void Event::reset() noexcept {
    shm::Event(*object_).reset();
}

bool Event::is_set() const noexcept {
    return shm::Event(*object_).is_set();
}

EventReset Event::kind() const noexcept {
    return shm::Event(*object_).kind() == shm::Reset::Auto ? EventReset::Auto : EventReset::Manual;
}

Result<void> Event::wait() {
    return wait_until(shm::kNoDeadline);
}

Result<void> Event::wait_until(std::chrono::steady_clock::time_point deadline) {
    const Process* process = detail::attached();
    if (process == nullptr) {
        return detail::detached_error();
    }
    if (!shm::Event(*object_).wait(process->lanes, process->owner.lane, deadline)) {
        return plain_error("the event was not set until the deadline", std::errc::timed_out);
    }
    return {};
}

Result<void> Event::try_wait() {
    if (detail::attached() == nullptr) {
        return detail::detached_error();
    }
    if (!shm::Event(*object_).try_wait()) {
        return plain_error("the event is not set", std::errc::device_or_resource_busy);
    }
    return {};
}

Result<Event> Worker::event(std::string_view name, EventReset kind) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    const auto row = process_->object_names->find_or_add(
        name, shm::NameKind::Event, 0, process_->owner,
        [&](std::uint32_t i) { shm::Event(process_->objects[i]).init(reset_of(kind)); });
    if (!row) {
        return row.error();
    }
    const Event event(&process_->objects[*row]);
    if (event.kind() != kind) {
        return plain_error(
            "event " + std::string(name) + ": it is " +
                (kind == EventReset::Auto ? "manual, not automatic" : "automatic, not manual"),
            std::errc::invalid_argument);
    }
    return event;
}

}  // namespace topsman
