// What lies in a segment: a view of each part.

#include "shm/segment.hpp"
#include "shm/segment_impl.hpp"

namespace topsman::shm {
namespace {

Part part_of(Late kind) noexcept {
    return kind == Late::Queue     ? Part::Queues
           : kind == Late::Channel ? Part::Channels
                                   : Part::Histograms;
}

}  // namespace

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
