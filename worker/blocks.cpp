#include "worker/blocks.hpp"

#include "shm/base/check.hpp"

#include <sys/mman.h>

namespace topsman::detail {

OwnBlocks::OwnBlocks()
    : rows_(shm::block_count(kClasses)),
      readers_(shm::block_count(kClasses)),
      memory_(::mmap(nullptr, shm::block_bytes(kClasses), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    CHECK(memory_ != MAP_FAILED);
}

OwnBlocks::~OwnBlocks() {
    (void)::munmap(memory_, shm::block_bytes(kClasses));
}

shm::BlockPool OwnBlocks::pool() noexcept {
    return {kClasses, 1, rows_, readers_, static_cast<std::byte*>(memory_)};
}

bool OpenBlocks::open(shm::BlockPool& pool, shm::BlockRef ref, std::uint32_t lane) {
    const std::lock_guard lock(mutex_);
    if (const auto found = open_.find(ref.block); found != open_.end()) {
        // An older ticket must not touch the lane's bit: it belongs to the present use of the
        // block.
        const bool is_same = found->second.version == ref.version;
        found->second.count += is_same ? 1 : 0;
        return is_same;
    }
    if (!pool.open(ref, lane)) {
        return false;
    }
    open_.emplace(ref.block, Readers{ref.version, 1});
    return true;
}

void OpenBlocks::close(shm::BlockPool& pool, shm::BlockRef ref, std::uint32_t lane) noexcept {
    const std::lock_guard lock(mutex_);
    const auto found = open_.find(ref.block);
    if (found != open_.end() && found->second.version == ref.version &&
        --found->second.count == 0) {
        open_.erase(found);
        pool.close(ref, lane);
    }
}

}  // namespace topsman::detail
