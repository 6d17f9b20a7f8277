#include "shm/segment.hpp"

#include "shm/base/check.hpp"
#include "shm/header.hpp"
#include "shm/segment_file.hpp"
#include "shm/segment_impl.hpp"
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

template <class T, class Allocator>
void Segment::Impl::construct(Allocator& buffer, Part part) {
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
    std::transform(layout.queues.begin(), layout.queues.end(), header.queues,
                   [](const NamedQueue& queue) { return entry_of(queue); });
    std::transform(layout.channels.begin(), layout.channels.end(), header.channels,
                   [](const NamedChannel& channel) { return entry_of(channel); });
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

}  // namespace topsman::shm
