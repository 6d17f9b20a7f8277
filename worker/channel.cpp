#include "topsman/channel.hpp"

#include "shm/fence.hpp"
#include "topsman/worker.hpp"
#include "worker/channel_state.hpp"
#include "worker/process.hpp"

#include <algorithm>
#include <array>

namespace topsman {

using detail::ChannelState;
using detail::Process;

namespace {

Error refusal(const ChannelState& state, const std::string& why, std::errc code) {
    return plain_error("channel " + state.name + ": " + why, code);
}

std::string slot_name(const ChannelState& state, std::uint32_t slot) {
    return state.pool + (state.pool.empty() ? "slot " : "/") + std::to_string(slot);
}

Error no_slot(const ChannelState& state, std::uint32_t slot) {
    const std::uint32_t inboxes = state.channel.shape().slots;
    return refusal(state,
                   slot < inboxes
                       ? "there is no " + slot_name(state, slot) + " now"
                       : slot_name(state, slot) +
                             " has no inbox: the file says slots: " + std::to_string(inboxes),
                   std::errc::no_such_device_or_address);
}

bool can_be_sent(const ChannelState& state, std::size_t size) noexcept {
    return !detail::is_detached() && size <= state.channel.shape().message_size;
}

/// Why a message of this size cannot be sent at all.
Error problem_with(const ChannelState& state, std::size_t size) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    return refusal(state,
                   "a message has at most " + std::to_string(state.channel.shape().message_size) +
                       " bytes, this one has " + std::to_string(size),
                   std::errc::message_size);
}

/// Why this process cannot receive.
Error not_ours(const ChannelState& state) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    return refusal(state,
                   "its messages are for pool " + state.pool + ", slots 0 to " +
                       std::to_string(state.channel.shape().slots - 1),
                   std::errc::operation_not_permitted);
}

Error full_error(const ChannelState& state, Channel::Deadline deadline) {
    if (deadline == Channel::Deadline{}) {
        return refusal(state,
                       "full, with " + std::to_string(state.channel.shape().capacity) + " messages",
                       std::errc::no_buffer_space);
    }
    if (detail::is_leaving()) {
        return refusal(state, "full, and this worker drains", std::errc::operation_canceled);
    }
    return refusal(state, "full until the deadline", std::errc::timed_out);
}

Result<std::shared_ptr<ChannelState>> find_channel(Process& process, std::string_view name) {
    const auto channels = process.segment->channels();
    const auto found = std::find_if(channels.begin(), channels.end(),
                                    [name](const auto& one) { return one.name == name; });
    if (found == channels.end() && process.segment->look_again()) {
        return find_channel(process, name);  // a reload has added some
    }
    if (found == channels.end()) {
        return plain_error("channel " + std::string(name) +
                               ": the cluster's file has none of that name: write shared: { "
                               "channels: { " +
                               std::string(name) + ": { to: POOL } } }",
                           std::errc::no_such_file_or_directory);
    }
    auto state = std::make_shared<ChannelState>(
        found->name, found->pool, process.owner,
        process.segment->channel(static_cast<std::size_t>(found - channels.begin())), nullptr);
    if (process.environment.pool == found->pool) {
        detail::wait_for_seat(process);  // a spare: whose messages these are it learns there
        if (const std::uint32_t slot = process.slot; slot < found->shape.slots) {
            state->reader.emplace(state->channel, slot, process.owner);
        }
    }
    return state;
}

Result<std::shared_ptr<ChannelState>> make_own(const Process& process, std::string_view name,
                                               const ChannelSize& size) {
    const shm::ChannelShape shape{
        1, size.capacity, size.message_size,
        size.at_most_once ? shm::Delivery::AtMostOnce : shm::Delivery::AtLeastOnce};
    if (!shm::is_sound(shape)) {
        return plain_error("channel " + std::string(name) + ": capacity is 1 to " +
                           std::to_string(shm::kMaxChannelCapacity) + ", message_size 1 to " +
                           std::to_string(shm::kMaxItemBytes));
    }
    // Zero bytes are an empty channel.
    auto memory = std::make_unique<ChannelState::Line[]>(shm::channel_bytes(shape) /
                                                         sizeof(ChannelState::Line));
    const shm::Channel channel(memory[0].bytes, shape, process.lanes);
    channel.set_slots(1);
    auto state = std::make_shared<ChannelState>(std::string(name), std::string(), process.owner,
                                                channel, std::move(memory));
    state->reader.emplace(channel, 0, process.owner);
    return state;
}

}  // namespace

Result<Channel> Worker::channel(std::string_view name, const ChannelSize& alone) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    const std::scoped_lock hold(process_->names_lock);
    auto known = process_->channels.find(name);
    if (known == process_->channels.end()) {
        auto state =
            process_->segment ? find_channel(*process_, name) : make_own(*process_, name, alone);
        if (!state) {
            return state.error();
        }
        shm::join_fences();
        known = process_->channels.emplace(std::string(name), std::move(*state)).first;
    }
    return Channel(known->second.get());
}

// -- sending ------------------------------------------------------------------------------------

Result<std::uint32_t> Channel::send(To to, std::span<const std::byte> message) {
    return send_until(to, message, Deadline::max());
}

Result<std::uint32_t> Channel::try_send(To to, std::span<const std::byte> message) {
    return send_until(to, message, Deadline{});
}

Result<std::uint32_t> Channel::send_until(To to, std::span<const std::byte> message,
                                          Deadline deadline) {
    if (!can_be_sent(*state_, message.size())) {
        return problem_with(*state_, message.size());
    }
    const shm::Channel& channel = state_->channel;
    if (to.kind_ == To::Kind::All) {
        return send_to_all(message, deadline);
    }
    bool is_sent = false;
    if (to.kind_ == To::Kind::Slot) {
        if (to.slot_ >= channel.slots()) {
            return no_slot(*state_, to.slot_);
        }
        const auto sent =
            channel.send_until(state_->owner, to.slot_, message, deadline, &detail::is_leaving);
        if (sent == shm::Channel::Sent::NoSlot) {
            return no_slot(*state_, to.slot_);
        }
        is_sent = sent == shm::Channel::Sent::Yes;
    } else {
        const std::uint32_t first = state_->turn.fetch_add(1, std::memory_order_relaxed);
        is_sent =
            channel.send_any_until(state_->owner, first, message, deadline, &detail::is_leaving)
                .has_value();
        if (!is_sent && channel.slots() == 0) {
            return refusal(*state_, "pool " + state_->pool + " has no slots now",
                           std::errc::no_such_device_or_address);
        }
    }
    if (is_sent) {
        return 1U;
    }
    return full_error(*state_, deadline);
}

Result<std::uint32_t> Channel::send_to_all(std::span<const std::byte> message, Deadline deadline) {
    const shm::Channel& channel = state_->channel;
    std::uint32_t others = 0;
    std::uint32_t sent = 0;
    for (std::uint32_t slot = 0; slot < channel.slots(); ++slot) {
        if (state_->reader && state_->reader->slot() == slot) {
            continue;
        }
        ++others;
        sent += channel.send_until(state_->owner, slot, message, deadline, &detail::is_leaving) ==
                        shm::Channel::Sent::Yes
                    ? 1U
                    : 0U;
    }
    if (sent == 0 && others != 0) {
        return full_error(*state_, deadline);
    }
    return sent;
}

Result<std::size_t> Channel::send_all(std::uint32_t slot,
                                      std::span<const std::string_view> messages) {
    return send_many(slot, messages, true);
}

Result<std::size_t> Channel::try_send_all(std::uint32_t slot,
                                          std::span<const std::string_view> messages) {
    return send_many(slot, messages, false);
}

Result<std::size_t> Channel::send_many(std::uint32_t slot,
                                       std::span<const std::string_view> messages,
                                       bool is_patient) {
    std::size_t longest = 0;
    for (const std::string_view message : messages) {
        longest = std::max(longest, message.size());
    }
    if (!can_be_sent(*state_, longest)) {
        return problem_with(*state_, longest);
    }
    const shm::Channel& channel = state_->channel;
    std::array<shm::Channel::Bytes, shm::kMostOfRun> run;
    std::size_t sent = 0;
    while (sent < messages.size()) {
        if (slot >= channel.slots()) {
            return no_slot(*state_, slot);
        }
        const std::size_t count = std::min(run.size(), messages.size() - sent);
        std::transform(messages.begin() + static_cast<std::ptrdiff_t>(sent),
                       messages.begin() + static_cast<std::ptrdiff_t>(sent + count), run.begin(),
                       [](std::string_view message) { return bytes_of(message); });
        const std::uint32_t done = channel.send(state_->owner, slot, std::span(run).first(count));
        sent += done;
        if (done == 0) {
            const auto one = is_patient ? channel.send_until(state_->owner, slot, run[0],
                                                             Deadline::max(), &detail::is_leaving)
                                        : shm::Channel::Sent::Full;
            if (one != shm::Channel::Sent::Yes) {
                break;
            }
            ++sent;
        }
    }
    return sent;
}

// -- receiving ----------------------------------------------------------------------------------

Result<std::optional<Message>> Channel::receive() {
    return receive_until(Deadline::max());
}

Result<std::optional<Message>> Channel::try_receive() {
    return receive_until(Deadline{});
}

Result<std::optional<Message>> Channel::receive_until(Deadline deadline) {
    if (!state_->can_receive()) {
        return not_ours(*state_);
    }
    const shm::ReceivedRow row = state_->receive_until(deadline, 1);
    if (!row) {
        return std::nullopt;
    }
    return {boost::system::in_place_value,
            Message(state_, row.first, state_->reader->bytes_at(row.first))};
}

Result<std::optional<Messages>> Channel::receive_all(std::size_t most) {
    return receive_all_until(Deadline::max(), most);
}

Result<std::optional<Messages>> Channel::try_receive_all(std::size_t most) {
    return receive_all_until(Deadline{}, most);
}

Result<std::optional<Messages>> Channel::receive_all_until(Deadline deadline, std::size_t most) {
    if (most == 0) {
        return refusal(*state_, "0 messages were asked for: ask for at least 1",
                       std::errc::invalid_argument);
    }
    if (!state_->can_receive()) {
        return not_ours(*state_);
    }
    const shm::ReceivedRow row = state_->receive_until(
        deadline, static_cast<std::uint32_t>(std::min<std::size_t>(most, UINT32_MAX)));
    if (!row) {
        return std::nullopt;
    }
    return {boost::system::in_place_value, Messages(state_, row.first, row.count)};
}

Result<int> Channel::event_fd() {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    if (!state_->reader) {
        return refusal(*state_, "its messages are for pool " + state_->pool,
                       std::errc::operation_not_permitted);
    }
    if (!state_->event.is_on()) {
        if (auto started = state_->event.start(*state_); !started) {
            return started.error();
        }
    }
    return state_->event.fd();
}

ChannelSize Channel::size() const noexcept {
    const shm::ChannelShape& shape = state_->channel.shape();
    return {shape.capacity, shape.message_size, shape.delivery == shm::Delivery::AtMostOnce};
}

std::uint32_t Channel::slots() const noexcept {
    return state_->channel.slots();
}

// -- messages -----------------------------------------------------------------------------------

Message& Message::operator=(Message&& other) noexcept {
    std::swap(state_, other.state_);
    std::swap(position_, other.position_);
    std::swap(data_, other.data_);
    return *this;
}

void Message::put_back() noexcept {
    if (!detail::is_detached()) {
        state_->end({position_, 1}, false);
    }
}

Result<void> Message::ack() {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    ChannelState* state = std::exchange(state_, nullptr);
    if (state == nullptr) {
        return plain_error("this message has been acknowledged already",
                           std::errc::operation_not_permitted);
    }
    state->end({position_, 1}, true);
    return {};
}

}  // namespace topsman
