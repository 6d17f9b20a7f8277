#include "shm/event_ring.hpp"

#include "shm/atomic_words.hpp"
#include "shm/base/check.hpp"
#include "shm/futex.hpp"

#include <algorithm>

namespace topsman::shm {
void EventRing::init() noexcept {
    last_.store(0, std::memory_order_relaxed);
    bell_.store(0, std::memory_order_relaxed);
    for (Entry& entry : entry_) {
        entry.seq.store(0, std::memory_order_relaxed);
    }
}

void EventRing::append(std::string_view json) noexcept {
    CHECK(json.size() <= kEventBytes);
    const std::uint64_t seq = last_.load(std::memory_order_relaxed) + 1;
    Entry& entry = entry_[seq % kEventSlots];
    entry.seq.store(0, std::memory_order_release);
    entry.length.store(json.size(), std::memory_order_release);
    store_words(entry.words, json.data(), json.size());
    entry.seq.store(seq, std::memory_order_release);
    // The commit point. A master that dies before it has appended nothing: the next one writes
    // the same entry again.
    last_.store(seq, std::memory_order_release);
    bell_.store(static_cast<std::uint32_t>(seq), std::memory_order_release);
    futex_wake_all(bell_);
}

std::uint64_t EventRing::last_seq() const noexcept {
    return last_.load(std::memory_order_acquire);
}

std::vector<EventLine> EventRing::read_since(std::uint64_t since) const {
    std::vector<EventLine> lines;
    const std::uint64_t last = last_seq();
    if (last <= since) {
        return lines;
    }
    const std::uint64_t count = std::min<std::uint64_t>(last - since, kEventSlots);
    for (std::uint64_t seq = last - count + 1; lines.size() < count && seq <= last; ++seq) {
        const Entry& entry = entry_[seq % kEventSlots];
        const bool was_there = entry.seq.load(std::memory_order_acquire) == seq;
        std::string json(
            std::min<std::uint64_t>(entry.length.load(std::memory_order_acquire), kEventBytes),
            '\0');
        load_words(json.data(), entry.words, json.size());
        if (was_there && entry.seq.load(std::memory_order_relaxed) == seq) {
            // JSON has no raw control characters; a terminal would obey those of a hostile writer.
            std::replace_if(
                json.begin(), json.end(),
                [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
            lines.push_back(EventLine{seq, std::move(json)});
        }
        if (seq == UINT64_MAX) {
            break;
        }
    }
    return lines;
}

bool EventRing::wait(std::uint64_t since,
                     std::chrono::steady_clock::time_point deadline) const noexcept {
    for (;;) {
        const std::uint32_t heard = bell_.load(std::memory_order_acquire);
        if (last_seq() > since) {
            return true;
        }
        if (!futex_wait(bell_, heard, deadline) || std::chrono::steady_clock::now() >= deadline) {
            return last_seq() > since;
        }
    }
}

}  // namespace topsman::shm
