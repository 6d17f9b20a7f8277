#include "shm/last_words.hpp"

#include "shm/text.hpp"

#include <algorithm>
#include <cstring>

namespace topsman::shm {

void LastWords::say(std::string_view words) noexcept {
    // Who dies in between has said nothing, rather than half of two things.
    length.store(0, std::memory_order_release);
    const std::size_t size = utf8_prefix(words, kLastWordsBytes);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::memcpy(text, words.data(), size);
    length.store(static_cast<std::uint32_t>(size), std::memory_order_release);
}

void LastWords::clear() noexcept {
    length.store(0, std::memory_order_release);
}

std::string LastWords::read() const {
    const std::size_t size =
        std::min<std::size_t>(length.load(std::memory_order_acquire), kLastWordsBytes);
    return printable_line(std::string_view(text, size));
}

}  // namespace topsman::shm
