#include "topsman/messages.hpp"

#include "shm/base/check.hpp"
#include "worker/channel_state.hpp"
#include "worker/process.hpp"

#include <utility>

namespace topsman {

Messages::Messages(Messages&& other) noexcept
    : state_(std::exchange(other.state_, nullptr)),
      first_(other.first_),
      count_(std::exchange(other.count_, 0)) {}

Messages& Messages::operator=(Messages&& other) noexcept {
    std::swap(state_, other.state_);
    std::swap(first_, other.first_);
    std::swap(count_, other.count_);
    return *this;
}

Messages::~Messages() {
    if (state_ != nullptr && !detail::is_detached()) {
        state_->end({first_, count_}, false);
    }
}

std::span<const std::byte> Messages::data(std::size_t number) const noexcept {
    CHECK(number < count_);
    return state_->reader->bytes_at(shm::after(first_, number));
}

Result<void> Messages::ack() {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    detail::ChannelState* state = std::exchange(state_, nullptr);
    if (state == nullptr) {
        return plain_error("these messages have been acknowledged already",
                           std::errc::operation_not_permitted);
    }
    state->end({first_, std::exchange(count_, 0)}, true);
    return {};
}

}  // namespace topsman
