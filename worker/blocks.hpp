#pragma once

// What a process keeps about blocks beside the segment.

#include "shm/block_pool.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace topsman::detail {

/// The blocks of a process without a segment. Their pages cost nothing until they are written.
class OwnBlocks {
  public:
    static constexpr shm::BlockClasses kClasses{{{4'096, 64}, {65'536, 16}, {1'048'576, 8}}};

    OwnBlocks();
    OwnBlocks(const OwnBlocks&) = delete;
    OwnBlocks& operator=(const OwnBlocks&) = delete;
    ~OwnBlocks();

    [[nodiscard]] shm::BlockPool pool() noexcept;

  private:
    std::vector<shm::BlockRow> rows_;
    std::vector<shm::LaneSet> readers_;
    void* memory_;
};

/// The blocks that this process knows of. What was known stays as it is: a thread goes on with what
/// it saw while another learns of more.
class KnownBlocks {
  public:
    KnownBlocks() { know({}); }

    /// One thread at a time.
    void know(const shm::BlockPool& pool) {
        now_.store(all_.emplace_back(std::make_unique<shm::BlockPool>(pool)).get(),
                   std::memory_order_release);
    }

    [[nodiscard]] shm::BlockPool& pool() const noexcept {
        return *now_.load(std::memory_order_acquire);
    }

  private:
    std::vector<std::unique_ptr<shm::BlockPool>> all_;
    std::atomic<shm::BlockPool*> now_ = nullptr;
};

/// Which shared blocks this process has open, and how often: the segment knows only that its lane
/// has. Threads: any.
class OpenBlocks {
  public:
    [[nodiscard]] bool open(shm::BlockPool& pool, shm::BlockRef ref, std::uint32_t lane);
    void close(shm::BlockPool& pool, shm::BlockRef ref, std::uint32_t lane) noexcept;

  private:
    struct Readers {
        std::uint32_t version;
        std::uint32_t count;
    };

    std::mutex mutex_;
    std::unordered_map<std::uint32_t, Readers> open_;  ///< by block
};

}  // namespace topsman::detail
