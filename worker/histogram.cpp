#include "topsman/histogram.hpp"

#include "shm/histogram.hpp"
#include "topsman/worker.hpp"
#include "worker/process.hpp"

#include <algorithm>
#include <span>

namespace topsman {

HistogramSnapshot Histogram::snapshot() const noexcept {
    return shm::HistogramView(std::span(lanes_, count_)).merged();
}

Result<Histogram> Worker::histogram(std::string_view name) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    if (!has_segment()) {
        const std::scoped_lock hold(process_->own->histograms_lock);
        shm::HistogramCells& cells = process_->own->histograms[std::string(name)];
        return Histogram(&cells, 1, cells.cell);
    }
    const std::scoped_lock hold(process_->names_lock);
    auto names = process_->segment->histograms();
    auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end() && process_->segment->look_again()) {  // a reload has added some
        names = process_->segment->histograms();
        found = std::find(names.begin(), names.end(), name);
    }
    if (found == names.end()) {
        return plain_error("histogram " + std::string(name) +
                               ": the cluster has none of that name: write `shared: { histograms: "
                               "[" +
                               std::string(name) + "] }` in its file",
                           std::errc::invalid_argument);
    }
    const auto lanes =
        process_->segment->histogram(static_cast<std::size_t>(found - names.begin())).lanes();
    return Histogram(lanes.data(), static_cast<std::uint32_t>(lanes.size()),
                     lanes[process_->owner.lane].cell);
}

}  // namespace topsman
