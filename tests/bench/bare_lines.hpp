#pragma once

// What the machine itself needs to get bytes from one processor to another: lines of cache that two
// processes write and read, and nothing else. The yardstick of channels.

#include "shm/base/check.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

namespace topsman {

/// Who looks again and again does so on a processor of its own; on the same one who waits cannot
/// but sleep: nothing could come while it looks.
inline void stay_on_processor(std::size_t number) {
    static const auto all = static_cast<std::size_t>(::sysconf(_SC_NPROCESSORS_ONLN));
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(number % all, &set);
    CHECK(::sched_setaffinity(0, sizeof(set), &set) == 0);
}

class BareLines {
  public:
    using Bytes = std::array<std::byte, 64>;

    BareLines() : lines_(map()) {}

    BareLines(const BareLines&) = delete;
    BareLines& operator=(const BareLines&) = delete;

    ~BareLines() { (void)::munmap(lines_, sizeof(Lines)); }

    /// A word there and another one back, each in a line of its own, as a message is.
    void play(bool begins, std::uint64_t count) const {
        std::atomic<std::uint64_t>& mine = lines_->words[begins ? 0 : 1].number;
        const std::atomic<std::uint64_t>& others = lines_->words[begins ? 1 : 0].number;
        for (std::uint64_t i = 1; i <= count; ++i) {
            if (begins) {
                mine.store(i, std::memory_order_release);
            }
            while (others.load(std::memory_order_acquire) != i) {
            }
            if (!begins) {
                mine.store(i, std::memory_order_release);
            }
        }
    }

    /// The same with what a message cannot do without: 64 bytes beside its number, in the next cell
    /// of a ring each time, and a cursor that says that they were read.
    void exchange(bool begins, std::uint64_t count) const {
        const std::size_t mine = begins ? 0 : 1;
        Cell* to = lines_->cells[mine];
        const Cell* from = lines_->cells[1 - mine];
        Bytes bytes{};
        for (std::uint64_t i = 0; i < count; ++i) {
            if (begins) {
                fill(to[i % kCells], bytes, i + 1);
            }
            empty(from[i % kCells], bytes, i + 1);
            lines_->words[mine].number.store(i + 1, std::memory_order_release);
            if (!begins) {
                fill(to[i % kCells], bytes, i + 1);
            }
        }
    }

    /// A ring of one writer and one reader: `row` messages at a time, each with a word that says
    /// that it is there; the reader's cursor once for a row.
    void write(std::uint64_t count, std::uint64_t row) const {
        const Bytes bytes{};
        for (std::uint64_t at = 0; at < count; at += row) {
            const std::uint64_t end = std::min(at + row, count);
            while (end - lines_->words[1].number.load(std::memory_order_acquire) > kCells) {
            }
            for (std::uint64_t i = at; i < end; ++i) {
                fill(lines_->cells[0][i % kCells], bytes, i + 1);
            }
        }
    }

    void read(std::uint64_t count, std::uint64_t row) const {
        Bytes bytes{};
        for (std::uint64_t at = 0; at < count; at += row) {
            const std::uint64_t end = std::min(at + row, count);
            for (std::uint64_t i = at; i < end; ++i) {
                empty(lines_->cells[0][i % kCells], bytes, i + 1);
            }
            lines_->words[1].number.store(end, std::memory_order_release);
        }
    }

  private:
    static constexpr std::uint64_t kCells = 1'024;

    struct alignas(128) Word {
        std::atomic<std::uint64_t> number;
    };

    struct Cell {
        std::atomic<std::uint64_t> number;
        std::uint64_t rest;
        Bytes bytes;
    };

    struct Lines {
        Word words[2];
        Cell cells[2][kCells];
    };

    static void fill(Cell& cell, const Bytes& bytes, std::uint64_t number) {
        cell.bytes = bytes;
        cell.number.store(number, std::memory_order_release);
    }

    static void empty(const Cell& cell, Bytes& bytes, std::uint64_t number) {
        while (cell.number.load(std::memory_order_acquire) != number) {
        }
        bytes = cell.bytes;
        asm volatile("" : : "r"(bytes.data()) : "memory");  // it is looked at
    }

    static Lines* map() {
        void* memory = ::mmap(nullptr, sizeof(Lines), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(memory != MAP_FAILED);
        return static_cast<Lines*>(memory);
    }

    Lines* lines_;
};

}  // namespace topsman
