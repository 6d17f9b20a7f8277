#include "worker/c/handles.hpp"
#include "worker/c/last_error.hpp"

using topsman::c::deadline_of;
using topsman::c::done;
using topsman::c::guarded;
using topsman::c::null_argument;

namespace {

/// Nothing: it is neither a slot nor one of the two names.
std::optional<topsman::To> receiver_of(std::int32_t to) {
    if (to == TOPSMAN_TO_ANY) {
        return topsman::To::any();
    }
    if (to == TOPSMAN_TO_ALL) {
        return topsman::To::all();
    }
    return to < 0 ? std::nullopt : std::optional(topsman::To::slot(static_cast<std::uint32_t>(to)));
}

}  // namespace

extern "C" {

int topsman_channel_open(topsman_worker* worker, const char* name, topsman_channel** channel) {
    if (worker == nullptr || name == nullptr || channel == nullptr) {
        return null_argument(__func__);
    }
    return topsman::c::open([&] { return worker->worker.channel(name); }, channel, name);
}

int topsman_channel_slots(const topsman_channel* channel) {
    return channel == nullptr ? null_argument(__func__)
                              : static_cast<int>(channel->channel.slots());
}

int topsman_channel_send(topsman_channel* channel, int32_t to, const void* message, size_t size,
                         int64_t timeout_ns) {
    if (channel == nullptr || (message == nullptr && size != 0)) {
        return null_argument(__func__);
    }
    return guarded([&] {
        const auto receiver = receiver_of(to);
        if (!receiver) {
            return topsman::c::failed(
                topsman::plain_error("topsman_channel_send: " + std::to_string(to) +
                                     " is no slot's number, nor TOPSMAN_TO_ANY or TOPSMAN_TO_ALL"));
        }
        const std::span bytes(static_cast<const std::byte*>(message), size);
        const auto sent = timeout_ns == 0 ? channel->channel.try_send(*receiver, bytes)
                                          : channel->channel.send_until(*receiver, bytes,
                                                                        deadline_of(timeout_ns));
        return sent ? static_cast<int>(*sent) : topsman::c::failed(sent.error());
    });
}

int topsman_channel_receive(topsman_channel* channel, int64_t timeout_ns,
                            topsman_message** message) {
    if (channel == nullptr || message == nullptr) {
        return null_argument(__func__);
    }
    return guarded([&] {
        auto received = timeout_ns == 0 ? channel->channel.try_receive()
                                        : channel->channel.receive_until(deadline_of(timeout_ns));
        if (!received) {
            return topsman::c::failed(received.error());
        }
        *message = *received ? new topsman_message{std::move(**received)} : nullptr;
        return *received ? 1 : 0;
    });
}

int topsman_channel_event_fd(topsman_channel* channel) {
    if (channel == nullptr) {
        return null_argument(__func__);
    }
    return guarded([&] {
        const auto fd = channel->channel.event_fd();
        return fd ? *fd : topsman::c::failed(fd.error());
    });
}

const void* topsman_message_data(const topsman_message* message, size_t* size) {
    const auto data = message == nullptr ? std::span<const std::byte>() : message->message.data();
    if (size != nullptr) {
        *size = data.size();
    }
    return data.data();
}

int topsman_message_ack(topsman_message* message) {
    const std::unique_ptr<topsman_message> end(message);
    return message == nullptr ? null_argument(__func__)
                              : guarded([&] { return done(message->message.ack()); });
}

void topsman_message_put_back(topsman_message* message) {
    const std::unique_ptr<topsman_message> end(message);
}

int topsman_channel_receive_all(topsman_channel* channel, size_t most, int64_t timeout_ns,
                                topsman_messages** messages) {
    if (channel == nullptr || messages == nullptr) {
        return null_argument(__func__);
    }
    return guarded([&] {
        auto received = timeout_ns == 0
                            ? channel->channel.try_receive_all(most)
                            : channel->channel.receive_all_until(deadline_of(timeout_ns), most);
        if (!received) {
            return topsman::c::failed(received.error());
        }
        *messages = *received ? new topsman_messages{std::move(**received)} : nullptr;
        return *messages != nullptr ? static_cast<int>((*messages)->messages.size()) : 0;
    });
}

const void* topsman_messages_data(const topsman_messages* messages, size_t number, size_t* size) {
    const bool is_there = messages != nullptr && number < messages->messages.size();
    const auto data = is_there ? messages->messages.data(number) : std::span<const std::byte>();
    if (size != nullptr) {
        *size = data.size();
    }
    return data.data();
}

int topsman_messages_ack(topsman_messages* messages) {
    const std::unique_ptr<topsman_messages> end(messages);
    return messages == nullptr ? null_argument(__func__)
                               : guarded([&] { return done(messages->messages.ack()); });
}

void topsman_messages_put_back(topsman_messages* messages) {
    const std::unique_ptr<topsman_messages> end(messages);
}

}  // extern "C"
