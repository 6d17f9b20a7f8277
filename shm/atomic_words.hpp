#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace topsman::shm {

// Copies between plain memory and shared words, for records that readers copy while a writer may
// be at work. A torn copy is noticed and thrown away, but taking it must not be a data race: hence
// word by word through atomics.
//
// Release stores and acquire loads, not fences: whoever reads one word of a store sees everything
// that the writer did before it began that store, the change of an index above all. On x86 both
// are plain moves, and ThreadSanitizer understands them.

inline void store_words(std::atomic<std::uint64_t>* to, const void* from,
                        std::size_t size) noexcept {
    const auto* bytes = static_cast<const unsigned char*>(from);
    for (std::size_t done = 0; done < size; done += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes + done, size - done < 8 ? size - done : 8);
        to[done / 8].store(word, std::memory_order_release);
    }
}

inline void load_words(void* to, const std::atomic<std::uint64_t>* from,
                       std::size_t size) noexcept {
    auto* bytes = static_cast<unsigned char*>(to);
    for (std::size_t done = 0; done < size; done += 8) {
        const std::uint64_t word = from[done / 8].load(std::memory_order_acquire);
        std::memcpy(bytes + done, &word, size - done < 8 ? size - done : 8);
    }
}

}  // namespace topsman::shm
