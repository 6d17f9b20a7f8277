#include "shm/tx_cell.hpp"

#include "shm/atomic_words.hpp"
#include "shm/base/check.hpp"

namespace topsman::shm {

void TxCellStorage::init(const void* value, std::size_t size) noexcept {
    CHECK(size <= kMaxCellBytes);
    mutex_.init();
    store_words(copies_[0], value, size);
    index_.store(0, std::memory_order_release);
}

LockResult TxCellStorage::begin(Owner owner, void* value, std::size_t size) noexcept {
    CHECK(size <= kMaxCellBytes);
    LockResult result = mutex_.lock(owner);
    if (result == LockResult::OwnerDied) {
        mutex_.repaired();
        result = LockResult::Locked;
    }
    if (result == LockResult::Locked) {
        load_words(value, copies_[index_.load(std::memory_order_relaxed) & 1U], size);
    }
    return result;
}

void TxCellStorage::commit(const void* value, std::size_t size) noexcept {
    CHECK(size <= kMaxCellBytes);
    const std::uint32_t index = index_.load(std::memory_order_relaxed);
    store_words(copies_[(index + 1) & 1U], value, size);
    index_.store(index + 1, std::memory_order_release);
    mutex_.unlock();
}

void TxCellStorage::roll_back() noexcept {
    mutex_.unlock();
}

bool TxCellStorage::read(void* to, std::size_t size, int tries) const noexcept {
    CHECK(size <= kMaxCellBytes);
    for (int i = 0; i < tries; ++i) {
        const std::uint32_t before = index_.load(std::memory_order_acquire);
        load_words(to, copies_[before & 1U], size);
        if (index_.load(std::memory_order_relaxed) == before) {
            return true;
        }
    }
    return false;
}

}  // namespace topsman::shm
