#include "supervisor/posix/child_stack.hpp"

#include <atomic>
#include <cstddef>
#include <sys/mman.h>

namespace topsman::posix {
namespace {

constexpr std::size_t kGuardBytes = 65'536;  // likewise a multiple

std::atomic<void*> kept_stack{nullptr};

}  // namespace

Result<ChildStack> ChildStack::take() {
    if (void* const kept = kept_stack.exchange(nullptr)) {
        return ChildStack(kept);
    }
    return map();
}

Result<ChildStack> ChildStack::map() {
    void* const lowest = ::mmap(nullptr, kGuardBytes + kBytes, PROT_NONE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (lowest == MAP_FAILED) {
        return system_error("a child's stack");
    }
    ChildStack stack(lowest);
    if (::mprotect(static_cast<char*>(lowest) + kGuardBytes, kBytes, PROT_READ | PROT_WRITE) != 0) {
        return system_error("a child's stack");
    }
    return stack;
}

ChildStack::~ChildStack() {
    void* nothing = nullptr;
    if (lowest_ != nullptr && !kept_stack.compare_exchange_strong(nothing, lowest_)) {
        (void)::munmap(lowest_, kGuardBytes + kBytes);
    }
}

void* ChildStack::top() const noexcept {
    return static_cast<char*>(lowest_) + kGuardBytes + kBytes;
}

}  // namespace topsman::posix
