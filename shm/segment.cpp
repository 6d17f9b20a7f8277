#include "shm/segment.hpp"

#include "shm/base/check.hpp"
#include "shm/base/size_text.hpp"
#include "shm/header.hpp"
#include "shm/segment_file.hpp"
#include "shm/segment_size.hpp"

#include <boost/interprocess/detail/os_file_functions.hpp>
#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/permissions.hpp>
#include <boost/interprocess/shared_memory_object.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>

#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <type_traits>

namespace topsman::shm {
namespace {

namespace bi = boost::interprocess;

// Without a mutex in it: nobody but the creator, alone, before any fork, ever uses the allocator.
using Buffer = bi::basic_managed_external_buffer<char, bi::rbtree_best_fit<bi::null_mutex_family>,
                                                 bi::iset_index>;
constexpr std::size_t kBufferSlack = 8'192;  // Boost's own bookkeeping

QueueEntry entry_of_queue(const NamedQueue& queue) {
    QueueEntry entry{};
    queue.name.copy(entry.name, kNameBytes - 1);
    entry.capacity = queue.shape.capacity;
    entry.item_size = queue.shape.item_size;
    entry.max_attempts = queue.shape.max_attempts;
    entry.priorities = static_cast<std::uint16_t>(queue.shape.priorities);
    entry.has_keys = queue.shape.has_keys ? 1 : 0;
    return entry;
}

ChannelEntry entry_of_channel(const NamedChannel& channel) {
    ChannelEntry entry{};
    channel.name.copy(entry.name, kNameBytes - 1);
    channel.pool.copy(entry.pool, kNameBytes - 1);
    entry.slots = channel.shape.slots;
    entry.capacity = channel.shape.capacity;
    entry.message_size = channel.shape.message_size;
    entry.delivery = channel.shape.delivery;
    return entry;
}

/// Lets mapped_region map a descriptor that was not opened by Boost.
struct OpenFile {
    int fd;

    [[nodiscard]] bi::mapping_handle_t get_mapping_handle() const noexcept {
        bi::mapping_handle_t handle{};
        handle.handle = fd;
        return handle;
    }
};

Error boost_error(const std::string& what, const bi::interprocess_exception& error) {
    return system_error(what, error.get_native_error() != 0 ? error.get_native_error() : EINVAL);
}

std::size_t whole_lines(std::size_t bytes) {
    return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
}

std::size_t total_size(const Layout& layout) {
    std::size_t size = kHeaderBytes + kBufferSlack;
    for (std::size_t i = 0; i < kParts; ++i) {
        size += part_size(static_cast<Part>(i), layout) + 2 * kCacheLine;
    }
    return (size + 4'095) / 4'096 * 4'096;
}

Result<UniqueFd> create_file(const Segment::Options& options) {
    try {
        const bi::shared_memory_object object(bi::create_only, options.name.c_str(), bi::read_write,
                                              bi::permissions(options.mode));
        UniqueFd fd(::fcntl(object.get_mapping_handle().handle, F_DUPFD_CLOEXEC, 3));
        if (!fd) {
            return system_error("segment " + options.name);
        }
        return fd;
    } catch (const bi::interprocess_exception& error) {
        return boost_error("segment " + options.name, error);
    }
}

/// All of its memory now, or a sentence: a page that is missing later would be a SIGBUS in
/// whichever worker touches it first.
Result<void> reserve(const std::string& name, int fd, std::size_t size) {
    int error = EINTR;
    while (error == EINTR) {
        error = ::posix_fallocate(fd, 0, static_cast<off_t>(size));
    }
    if (error == 0) {
        return {};
    }
    Error failure = system_error("segment " + name + ": /dev/shm", error);

    struct statvfs space {};

    if (error == ENOSPC && ::fstatvfs(fd, &space) == 0) {
        failure.message += ": " + std::to_string(size) + " bytes are needed, " +
                           std::to_string(space.f_bavail * space.f_frsize) +
                           " are available (in a container see its --shm-size)";
    }
    return failure;
}

Result<bi::mapped_region> map(const std::string& name, int fd, bi::mode_t mode, std::size_t size) {
    try {
        return bi::mapped_region(OpenFile{fd}, mode, 0, size);
    } catch (const bi::interprocess_exception& error) {
        return boost_error("segment " + name + ": mmap", error);
    }
}

}  // namespace

struct Segment::Impl {
    UniqueFd fd;
    bool is_masters = false;
    bi::mapped_region region;
    Layout layout;

    [[nodiscard]] std::byte* base() const noexcept {
        return static_cast<std::byte*>(region.get_address());
    }

    [[nodiscard]] Header& header() const noexcept { return *reinterpret_cast<Header*>(base()); }

    template <class T>
    [[nodiscard]] std::span<T> all(Part part) const noexcept {
        const DirectoryEntry& entry = layout.directory[static_cast<std::size_t>(part)];
        return {reinterpret_cast<T*>(base() + entry.offset), entry.size / sizeof(T)};
    }

    template <class T>
    [[nodiscard]] T& one(Part part) const noexcept {
        return all<T>(part).front();
    }

    template <class T>
    void construct(Buffer& buffer, Part part);
    void construct_all();
    void write_header(const Place& place);

    [[nodiscard]] Result<void> has_room(const std::string& what, Late kind, std::size_t most,
                                        std::size_t bytes) const;
    void publish_last(Late kind) noexcept;
    [[nodiscard]] std::byte* place_of(Late kind, std::size_t index) const noexcept;

    static Result<std::unique_ptr<Impl>> open(const std::string& name, UniqueFd fd,
                                              std::uint64_t file_size, bi::mode_t mode);
    /// Ours, and such as the options say.
    static Result<std::unique_ptr<Impl>> open_left(const Options& options, bi::mode_t mode);
};

template <class T>
void Segment::Impl::construct(Buffer& buffer, Part part) {
    static_assert(alignof(T) <= kCacheLine);
    const std::size_t size = part_size(part, layout);
    if (size == 0) {
        layout.directory[static_cast<std::size_t>(part)] = DirectoryEntry{kHeaderBytes, 0};
        return;
    }
    // allocate_aligned, not construct<T>(name): that one does not honour the alignment of an
    // over-aligned type (Boost 1.81), and names are in our own directory anyway.
    void* memory = buffer.allocate_aligned(size, kCacheLine);
    if constexpr (!std::is_same_v<T, std::byte>) {  // the file's bytes are zeroes already
        std::uninitialized_value_construct_n(static_cast<T*>(memory), size / sizeof(T));
    }
    layout.directory[static_cast<std::size_t>(part)] =
        DirectoryEntry{static_cast<std::uint64_t>(static_cast<std::byte*>(memory) - base()), size};
}

void Segment::Impl::construct_all() {
    Buffer buffer(bi::create_only, base() + kHeaderBytes, layout.total_size - kHeaderBytes);
    construct<Lane>(buffer, Part::Lanes);
    construct<Scoreboard>(buffer, Part::Scoreboard);
    construct<EventRing>(buffer, Part::Events);
    construct<NameTable>(buffer, Part::MetricNames);
    construct<NameTable>(buffer, Part::MutexNames);
    construct<NameTable>(buffer, Part::CellNames);
    construct<LaneCells>(buffer, Part::Metrics);
    construct<RobustMutex>(buffer, Part::Mutexes);
    construct<TxCellStorage>(buffer, Part::Cells);
    construct<LastWords>(buffer, Part::LastWords);
    construct<LaneSet>(buffer, Part::IdleLanes);
    construct<std::byte>(buffer, Part::Queues);
    construct<NameTable>(buffer, Part::ObjectNames);
    construct<SharedObject>(buffer, Part::Objects);
    construct<NameTable>(buffer, Part::ArrayNames);
    construct<SharedArrayStorage>(buffer, Part::Arrays);
    construct<BlockRow>(buffer, Part::BlockRows);
    construct<LaneSet>(buffer, Part::BlockReaders);
    construct<std::byte>(buffer, Part::BlockMemory);
    construct<HistogramCells>(buffer, Part::Histograms);
    construct<std::byte>(buffer, Part::Channels);
    construct<std::byte>(buffer, Part::Reserve);

    one<EventRing>(Part::Events).init();
    one<NameTable>(Part::MetricNames).init(kMaxMetrics);
    one<NameTable>(Part::MutexNames).init(kMaxMutexes);
    one<NameTable>(Part::CellNames).init(kMaxCells);
    one<NameTable>(Part::ObjectNames).init(kMaxObjects);
    one<NameTable>(Part::ArrayNames).init(kMaxArrays);
}

void Segment::Impl::write_header(const Place& place) {
    Header& header = *new (base()) Header{};
    header.abi_hash = abi_hash();
    header.layout_version = kLayoutVersion;
    header.lanes = layout.lanes;
    header.total_size = layout.total_size;
    header.pid_namespace = place.pid_namespace;
    place.boot_id.copy(header.boot_id, kBootIdBytes - 1);
    header.epoch.store(1, std::memory_order_relaxed);
    std::copy(layout.directory.begin(), layout.directory.end(), header.directory);
    std::copy(layout.blocks.begin(), layout.blocks.end(), header.blocks);
    for (std::size_t i = 0; i < layout.histograms.size(); ++i) {
        layout.histograms[i].copy(header.histograms[i], kNameBytes - 1);
    }
    std::transform(layout.queues.begin(), layout.queues.end(), header.queues, entry_of_queue);
    std::transform(layout.channels.begin(), layout.channels.end(), header.channels,
                   entry_of_channel);
    for (std::size_t i = 0; i < kLateKinds; ++i) {
        header.made_with[i] = static_cast<std::uint32_t>(layout.count(static_cast<Late>(i)));
    }
    header.magic.store(kMagic, std::memory_order_release);
}

Result<std::unique_ptr<Segment::Impl>> Segment::Impl::open(const std::string& name, UniqueFd fd,
                                                           std::uint64_t file_size,
                                                           bi::mode_t mode) {
    Result<Place> place = Place::here();
    if (!place) {
        return place.error();
    }
    if (mode == bi::read_only) {
        // To look is never wrong, and nspawn gives each mount of /proc another boot id: a service
        // with ProtectProc= has one of its own.
        place->boot_id.clear();
    }
    if (file_size < kHeaderBytes) {
        return check_header(name, {}, file_size, *place).error();
    }
    Result<bi::mapped_region> region = map(name, fd.get(), mode, file_size);
    if (!region) {
        return region.error();
    }
    auto impl = std::make_unique<Impl>();
    impl->fd = std::move(fd);
    impl->region = std::move(*region);
    const Result<Layout> layout =
        check_header(name, {impl->base(), kHeaderBytes}, file_size, *place);
    if (!layout) {
        return layout.error();
    }
    impl->layout = *layout;
    return impl;
}

std::string segment_name(const std::string& cluster, std::uint32_t uid) {
    return uid == 0 ? "topsman." + cluster : "topsman." + std::to_string(uid) + "." + cluster;
}

std::size_t segment_bytes(std::uint32_t lanes, const std::vector<NamedQueue>& queues,
                          const BlockClasses& blocks, const std::vector<std::string>& histograms,
                          const std::vector<NamedChannel>& channels, std::size_t reserve) {
    Layout layout;
    layout.reserve = whole_lines(reserve);
    layout.lanes = lanes;
    layout.queues = queues;
    layout.blocks = blocks;
    layout.histograms = histograms;
    layout.channels = channels;
    return total_size(layout);
}

Part part_of(Late kind) noexcept {
    return kind == Late::Queue     ? Part::Queues
           : kind == Late::Channel ? Part::Channels
                                   : Part::Histograms;
}

/// Where it lies. Not for blocks that were there first: they have three parts.
std::byte* Segment::Impl::place_of(Late kind, std::size_t index) const noexcept {
    if (index >= layout.count_first(kind)) {
        return all<std::byte>(Part::Reserve).data() + layout.late_offset(kind, index);
    }
    std::byte* memory = all<std::byte>(part_of(kind)).data();
    for (std::size_t i = 0; i < index; ++i) {
        memory += layout.bytes(kind, i);
    }
    return memory;
}

Result<void> Segment::Impl::has_room(const std::string& what, Late kind, std::size_t most,
                                     std::size_t bytes) const {
    CHECK(is_masters);
    const std::uint64_t left = layout.reserve - layout.reserve_used();
    if (layout.count(kind) < most && bytes <= left) {
        return {};
    }
    return plain_error(what + ": " +
                           (bytes > left ? std::to_string(bytes - left) +
                                               " bytes more than what is left of segment.reserve"
                                         : "the segment has as many as it can have"),
                       std::errc::no_buffer_space);
}

/// The last one of this kind, which our layout and the header's entry have already.
void Segment::Impl::publish_last(Late kind) noexcept {
    const std::size_t last = layout.count(kind) - 1;
    const std::size_t turn = layout.late.size();
    layout.late.push_back(kind);
    // All zeros is an empty one; whoever may write here may have done so, also behind the end.
    std::memset(place_of(kind, last), 0, layout.bytes(kind, last));
    if (turn + 1 < kMaxLate) {
        std::atomic_ref(header().late[turn + 1]).store(Late::None, std::memory_order_relaxed);
    }
    // The commit point: from this store on everybody finds it, also the next master.
    std::atomic_ref(header().late[turn]).store(kind, std::memory_order_release);
}

Result<void> Segment::add_queue(const NamedQueue& queue) {
    CHECK(is_sound(queue.shape) && queue.name.size() < kNameBytes);
    std::vector<NamedQueue>& queues = impl_->layout.queues;
    if (auto room = impl_->has_room("queue " + queue.name, Late::Queue, kMaxQueues,
                                    queue_bytes(queue.shape));
        !room) {
        return room;
    }
    impl_->header().queues[queues.size()] = entry_of_queue(queue);
    queues.push_back(queue);
    impl_->publish_last(Late::Queue);
    return {};
}

Result<void> Segment::add_histogram(const std::string& name) {
    CHECK(!name.empty() && name.size() < kNameBytes);
    std::vector<std::string>& histograms = impl_->layout.histograms;
    if (auto room = impl_->has_room("histogram " + name, Late::Histogram, kMaxHistograms,
                                    histogram_bytes(1, impl_->layout.lanes));
        !room) {
        return room;
    }
    char* entry = impl_->header().histograms[histograms.size()];
    std::memset(entry, 0, kNameBytes);
    name.copy(entry, kNameBytes - 1);
    histograms.push_back(name);
    impl_->publish_last(Late::Histogram);
    return {};
}

Result<void> Segment::add_channel(const NamedChannel& channel) {
    CHECK(is_sound(channel.shape) && channel.name.size() < kNameBytes &&
          channel.pool.size() < kNameBytes);
    std::vector<NamedChannel>& channels = impl_->layout.channels;
    if (auto room = impl_->has_room("channel " + channel.name, Late::Channel, kMaxChannels,
                                    channel_bytes(channel.shape));
        !room) {
        return room;
    }
    impl_->header().channels[channels.size()] = entry_of_channel(channel);
    channels.push_back(channel);
    impl_->publish_last(Late::Channel);
    return {};
}

Result<void> Segment::add_blocks(const BlockClass& one) {
    Layout& layout = impl_->layout;
    const std::size_t there = layout.count(Late::Blocks);
    const std::string what = "blocks of " + size_text(one.size);
    if (auto room = impl_->has_room(what, Late::Blocks, kMaxBlockClasses, late_blocks_bytes(one));
        !room) {
        return room;
    }
    BlockClasses all = layout.blocks;
    all[there] = one;
    if (!is_sound(all, layout.count_first(Late::Blocks))) {
        return plain_error(what + ": with the others the segment cannot have them",
                           std::errc::no_buffer_space);
    }
    layout.blocks = all;
    impl_->header().blocks[there] = one;
    impl_->publish_last(Late::Blocks);
    return {};
}

std::uint64_t Segment::reserve_left() const noexcept {
    return impl_->layout.reserve - impl_->layout.reserve_used();
}

bool Segment::look_again() {
    Layout& before = impl_->layout;
    const std::size_t turn = before.late.size();
    if (turn == kMaxLate ||
        std::atomic_ref(impl_->header().late[turn]).load(std::memory_order_acquire) == Late::None) {
        return false;
    }
    Result<Place> place = Place::here();
    if (!place) {
        return false;
    }
    place->boot_id.clear();  // it was looked at before
    Result<Layout> now = check_header("", {impl_->base(), kHeaderBytes}, before.total_size, *place);
    // What was there stays where it is, or this is nothing that a master of ours has written.
    const auto begins_with = [](const auto& all, const auto& first) {
        return all.size() >= first.size() && std::equal(first.begin(), first.end(), all.begin());
    };
    const bool is_more =
        now && now->lanes == before.lanes &&
        std::equal(before.directory.begin(), before.directory.end(), now->directory.begin(),
                   [](const DirectoryEntry& a, const DirectoryEntry& b) {
                       return a.offset == b.offset && a.size == b.size;
                   }) &&
        begins_with(now->late, before.late) && now->late.size() > before.late.size() &&
        begins_with(now->queues, before.queues) &&
        begins_with(now->histograms, before.histograms) &&
        begins_with(now->channels, before.channels) &&
        std::equal(before.blocks.begin(),
                   before.blocks.begin() + static_cast<std::ptrdiff_t>(before.count(Late::Blocks)),
                   now->blocks.begin());
    if (is_more) {  // the rest is the same, and others may be reading it
        before.queues = std::move(now->queues);
        before.histograms = std::move(now->histograms);
        before.channels = std::move(now->channels);
        before.blocks = now->blocks;
        before.late = std::move(now->late);
    }
    return is_more;
}

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

Result<Segment> Segment::create(const Options& options) {
    CHECK(options.lanes >= 1 && options.lanes <= kMaxLanes);
    CHECK(options.queues.size() <= kMaxQueues);
    CHECK(is_sound(options.blocks));
    CHECK(options.histograms.size() <= kMaxHistograms);
    CHECK(options.channels.size() <= kMaxChannels);
    const Result<Place> place = Place::here();
    if (!place) {
        return place.error();
    }
    Result<UniqueFd> fd = create_file(options);
    if (!fd) {
        return fd.error();
    }
    auto impl = std::make_unique<Impl>();
    impl->fd = std::move(*fd);
    impl->is_masters = true;
    impl->layout.lanes = options.lanes;
    impl->layout.queues = options.queues;
    impl->layout.blocks = options.blocks;
    impl->layout.histograms = options.histograms;
    impl->layout.channels = options.channels;
    impl->layout.reserve = whole_lines(options.reserve);
    impl->layout.total_size = total_size(impl->layout);
    if (const auto reserved = reserve(options.name, impl->fd.get(), impl->layout.total_size);
        !reserved) {
        (void)remove(options.name);
        return reserved.error();
    }
    Result<bi::mapped_region> region =
        map(options.name, impl->fd.get(), bi::read_write, impl->layout.total_size);
    if (!region) {
        (void)remove(options.name);
        return region.error();
    }
    impl->region = std::move(*region);
    impl->construct_all();
    impl->write_header(*place);
    return Segment(std::move(impl));
}

Result<std::unique_ptr<Segment::Impl>> Segment::Impl::open_left(const Options& options,
                                                                bi::mode_t mode) {
    struct stat status {};

    Result<UniqueFd> fd =
        open_file(options.name, mode == bi::read_only ? O_RDONLY : O_RDWR, status);
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
    auto impl = Impl::open_left(options, bi::read_write);
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
    auto impl = Impl::open_left(options, bi::read_only);
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

Result<Segment> Segment::attach(UniqueFd fd) {
    const std::string name = "of descriptor " + std::to_string(fd.get());

    struct stat status {};

    if (::fstat(fd.get(), &status) != 0 || ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
        return system_error("segment " + name);
    }
    if (!S_ISREG(status.st_mode)) {
        return plain_error("segment " + name + ": not a file");
    }
    auto impl =
        Impl::open(name, std::move(fd), static_cast<std::uint64_t>(status.st_size), bi::read_write);
    if (!impl) {
        return impl.error();
    }
    return Segment(std::move(*impl));
}

Result<Segment> Segment::open_read_only(const std::string& name) {
    struct stat status {};

    Result<UniqueFd> fd = open_file(name, O_RDONLY, status);
    if (!fd) {
        return fd.error();
    }
    auto impl =
        Impl::open(name, std::move(*fd), static_cast<std::uint64_t>(status.st_size), bi::read_only);
    if (!impl) {
        return impl.error();
    }
    return Segment(std::move(*impl));
}

Result<void> Segment::remove(const std::string& name) {
    if (!bi::shared_memory_object::remove(name.c_str()) && errno != ENOENT) {
        return system_error("segment " + name);
    }
    return {};
}

Result<void> Segment::retire(const std::string& name) {
    if (::rename(path_of(name).c_str(), path_of(name + ".stale").c_str()) != 0) {
        return system_error("segment " + name + ": rename to " + name + ".stale");
    }
    return {};
}

Segment::Segment(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

Segment::Segment(Segment&&) noexcept = default;
Segment& Segment::operator=(Segment&&) noexcept = default;
Segment::~Segment() = default;

int Segment::fd() const noexcept {
    return impl_->is_masters ? impl_->fd.get() : -1;
}

std::size_t Segment::size() const noexcept {
    return impl_->region.get_size();
}

const void* Segment::address() const noexcept {
    return impl_->base();
}

std::uint32_t Segment::epoch() const noexcept {
    return impl_->header().epoch.load(std::memory_order_acquire);
}

void Segment::set_master(std::uint32_t pid, std::uint64_t start_ticks) noexcept {
    // The pid last: who sees it sees its start time too.
    impl_->header().master_pid.store(0, std::memory_order_release);
    impl_->header().master_start_ticks.store(start_ticks, std::memory_order_release);
    impl_->header().master_pid.store(pid, std::memory_order_release);
}

std::uint32_t Segment::master_pid() const noexcept {
    return impl_->header().master_pid.load(std::memory_order_acquire);
}

std::uint64_t Segment::master_start_ticks() const noexcept {
    return impl_->header().master_start_ticks.load(std::memory_order_acquire);
}

std::span<Lane> Segment::lanes() const noexcept {
    return impl_->all<Lane>(Part::Lanes);
}

Scoreboard& Segment::scoreboard() const noexcept {
    return impl_->one<Scoreboard>(Part::Scoreboard);
}

EventRing& Segment::events() const noexcept {
    return impl_->one<EventRing>(Part::Events);
}

NameTable& Segment::metric_names() const noexcept {
    return impl_->one<NameTable>(Part::MetricNames);
}

NameTable& Segment::mutex_names() const noexcept {
    return impl_->one<NameTable>(Part::MutexNames);
}

NameTable& Segment::cell_names() const noexcept {
    return impl_->one<NameTable>(Part::CellNames);
}

MetricCells Segment::metrics() const noexcept {
    return MetricCells(impl_->all<LaneCells>(Part::Metrics));
}

std::span<RobustMutex> Segment::mutexes() const noexcept {
    return impl_->all<RobustMutex>(Part::Mutexes);
}

std::span<TxCellStorage> Segment::cells() const noexcept {
    return impl_->all<TxCellStorage>(Part::Cells);
}

std::span<LastWords> Segment::last_words() const noexcept {
    return impl_->all<LastWords>(Part::LastWords);
}

std::span<LaneSet> Segment::idle_lanes() const noexcept {
    return impl_->all<LaneSet>(Part::IdleLanes);
}

std::span<const NamedQueue> Segment::queues() const noexcept {
    return impl_->layout.queues;
}

JobQueue Segment::queue(std::size_t index) const noexcept {
    return {impl_->place_of(Late::Queue, index), impl_->layout.queues[index].shape, lanes()};
}

NameTable& Segment::object_names() const noexcept {
    return impl_->one<NameTable>(Part::ObjectNames);
}

std::span<SharedObject> Segment::objects() const noexcept {
    return impl_->all<SharedObject>(Part::Objects);
}

NameTable& Segment::array_names() const noexcept {
    return impl_->one<NameTable>(Part::ArrayNames);
}

std::span<SharedArrayStorage> Segment::arrays() const noexcept {
    return impl_->all<SharedArrayStorage>(Part::Arrays);
}

const BlockClasses& Segment::block_classes() const noexcept {
    return impl_->layout.blocks;
}

BlockPool Segment::blocks() const noexcept {
    const Layout& layout = impl_->layout;
    BlockPool pool(layout.first_blocks(), layout.lanes, impl_->all<BlockRow>(Part::BlockRows),
                   impl_->all<LaneSet>(Part::BlockReaders),
                   impl_->all<std::byte>(Part::BlockMemory).data());
    for (std::size_t i = layout.count_first(Late::Blocks); i < layout.count(Late::Blocks); ++i) {
        pool.add(layout.blocks[i], impl_->place_of(Late::Blocks, i));
    }
    return pool;
}

std::span<const std::string> Segment::histograms() const noexcept {
    return impl_->layout.histograms;
}

HistogramView Segment::histogram(std::size_t index) const noexcept {
    return HistogramView(
        {reinterpret_cast<HistogramCells*>(impl_->place_of(Late::Histogram, index)),
         lanes().size()});
}

std::span<const NamedChannel> Segment::channels() const noexcept {
    return impl_->layout.channels;
}

Channel Segment::channel(std::size_t index) const noexcept {
    return {impl_->place_of(Late::Channel, index), impl_->layout.channels[index].shape, lanes()};
}

}  // namespace topsman::shm
