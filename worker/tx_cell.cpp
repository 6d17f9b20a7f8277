#include "topsman/tx_cell.hpp"

#include "shm/tx_cell.hpp"
#include "worker/process.hpp"

namespace topsman::detail {

CellChange::CellChange(shm::TxCellStorage* storage, void* value, std::size_t size) noexcept
    : storage_(storage), value_(value), size_(size) {
    const Process* process = the_process.load(std::memory_order_acquire);
    is_detached_ = is_detached() || process == nullptr;
    is_open_ =
        !is_detached_ && storage->begin(process->owner, value, size) == shm::LockResult::Locked;
}

CellChange::~CellChange() {
    // After a fork inside the change the lock is the parent's, see Mutex.
    if (is_open_ && !is_detached()) {
        storage_->roll_back();
    }
}

Error CellChange::error() const {
    if (is_detached_) {
        return detached_error();
    }
    return plain_error("the cell's lock cannot be used any more", std::errc::state_not_recoverable);
}

void CellChange::commit() noexcept {
    if (!is_detached()) {
        storage_->commit(value_, size_);
    }
    is_open_ = false;
}

Result<void> read_cell(const shm::TxCellStorage* storage, void* to, std::size_t size) {
    if (is_detached()) {
        return detached_error();
    }
    if (!storage->read(to, size)) {
        return plain_error("the cell is being overwritten all the time",
                           std::errc::resource_unavailable_try_again);
    }
    return {};
}

}  // namespace topsman::detail
