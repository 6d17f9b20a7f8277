// A master's look at the segment that a dead one left, or that it is to go on with itself.

#include "shm/base/size_text.hpp"
#include "shm/segment_file.hpp"
#include "shm/segment_impl.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>

namespace topsman::shm {

namespace {

const std::string& name_of(const std::string& name) {
    return name;
}

template <class Named>
const auto& name_of(const Named& named) {
    return named.name;
}

std::string name_of(const BlockClass& blocks) {
    return size_text(blocks.size);
}

/// Brings those that the configuration has and the segment has not, by `add`; the error is a
/// sentence on what does not fit. `there` is asked anew for each: it grows.
template <class T, class There, class Add>
Result<void> add_missing(const char* key, std::span<const T> wanted, There there, Add add) {
    for (const T& one : wanted) {
        const auto all = there();
        const auto found = std::find_if(
            all.begin(), all.end(), [&](const T& other) { return name_of(other) == name_of(one); });
        if (found == all.end()) {
            if (auto added = add(one); !added) {
                return added;
            }
        } else if (!(*found == one)) {
            return plain_error("its " + std::string(key) +
                               " are not those of the configuration (shared." + key + "." +
                               name_of(one) + ")");
        }
    }
    return {};
}

/// `add` is called with each that the configuration has and the segment has not.
template <class Add>
Result<void> add_missing(const Segment& segment, const Segment::Options& options, const Add& add) {
    auto queues = add_missing(
        "queues", std::span(options.queues), [&] { return segment.queues(); }, add);
    if (!queues) {
        return queues;
    }
    auto channels = add_missing(
        "channels", std::span(options.channels), [&] { return segment.channels(); }, add);
    if (!channels) {
        return channels;
    }
    const std::span<const BlockClass> blocks(options.blocks);
    const auto end = std::find(blocks.begin(), blocks.end(), BlockClass{});
    auto added = add_missing(
        "blocks", blocks.first(static_cast<std::size_t>(end - blocks.begin())),
        [&] { return std::span<const BlockClass>(segment.block_classes()); }, add);
    if (!added) {
        return added;
    }
    return add_missing(
        "histograms", std::span(options.histograms), [&] { return segment.histograms(); }, add);
}

struct Adder {
    Segment& segment;

    Result<void> operator()(const NamedQueue& queue) const { return segment.add_queue(queue); }

    Result<void> operator()(const NamedChannel& channel) const {
        return segment.add_channel(channel);
    }

    Result<void> operator()(const BlockClass& blocks) const { return segment.add_blocks(blocks); }

    Result<void> operator()(const std::string& histogram) const {
        return segment.add_histogram(histogram);
    }
};

}  // namespace

Result<std::unique_ptr<Segment::Impl>> Segment::Impl::open_left(const Options& options,
                                                                boost::interprocess::mode_t mode) {
    struct stat status {};

    Result<UniqueFd> fd =
        open_file(options.name, mode == boost::interprocess::read_only ? O_RDONLY : O_RDWR, status);
    if (!fd) {
        return fd.error();
    }
    if (const auto ours = check_ours(options.name, status); !ours) {
        return ours.error();
    }
    auto impl =
        open(options.name, std::move(*fd), static_cast<std::uint64_t>(status.st_size), mode);
    if (!impl) {
        return impl.error();
    }
    if ((*impl)->layout.lanes != options.lanes) {
        return plain_error("segment " + options.name + ": it has " +
                           std::to_string((*impl)->layout.lanes) + " lanes, not " +
                           std::to_string(options.lanes) + " (segment.lanes)");
    }
    return impl;
}

Result<Segment> Segment::adopt(const Options& options) {
    auto impl = Impl::open_left(options, boost::interprocess::read_write);
    if (!impl) {
        return impl.error();
    }
    (*impl)->is_masters = true;
    Segment segment(std::move(*impl));
    if (auto added = add_missing(segment, options, Adder{segment}); !added) {
        return plain_error("segment " + options.name + ": " + added.error().message);
    }
    segment.impl_->header().epoch.fetch_add(1);
    return segment;
}

Result<void> Segment::examine(const Options& options) {
    auto impl = Impl::open_left(options, boost::interprocess::read_only);
    if (!impl) {
        return impl.error();
    }
    const Segment segment(std::move(*impl));
    const auto has_all = add_missing(segment, options, [](const auto& one) {
        return Result<void>(plain_error(name_of(one) + ", which is shared, is not in it"));
    });
    if (!has_all) {
        return plain_error("segment " + options.name + ": " + has_all.error().message);
    }
    return {};
}

}  // namespace topsman::shm
