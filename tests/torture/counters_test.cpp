// Counters, gauges and histograms: one store to a cell of one's own.

#include "expect.hpp"
#include "shm/histogram.hpp"
#include "shm/metrics.hpp"

namespace topsman::torture {
namespace {

using shm::add_to_cell;

class CounterAdd : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "counter add"; }

    void setup(const Arena& arena) override {
        row_ = arena.segment.metric_names()
                   .find_or_add("orders", shm::NameKind::Counter, 0, Owner{}, nullptr)
                   .value();
        arena.segment.metrics().cell(kVictim.lane, row_).store(41);
    }

    void run(const Arena& arena) override {
        add_to_cell(arena.segment.metrics().cell(kVictim.lane, row_), 1);
    }

    void peers(const Arena& arena) override {
        add_to_cell(arena.segment.metrics().cell(kPeer.lane, row_), 10);
    }

    std::string verify(Arena& arena, Fate fate) override {
        const std::uint64_t total = counter_total(arena.segment.metrics(), row_);
        const std::uint64_t own = total - (fate.peers_ran ? 10 : 0);
        return own == 42 || (own == 41 && !fate.is_done) ? "" : "total " + std::to_string(total);
    }

  private:
    std::uint32_t row_ = 0;
};

class GaugeChange : public Operation {
  public:
    explicit GaugeChange(bool is_set) : is_set_(is_set) {}

    [[nodiscard]] std::string name() const override { return is_set_ ? "gauge set" : "gauge add"; }

    void setup(const Arena& arena) override {
        row_ = arena.segment.metric_names()
                   .find_or_add("connections", shm::NameKind::Gauge, 0, Owner{}, nullptr)
                   .value();
        arena.segment.metrics().cell(kVictim.lane, row_).store(5);
        arena.segment.metrics().cell(kPeer.lane, row_).store(3);
    }

    void run(const Arena& arena) override {
        auto& cell = arena.segment.metrics().cell(kVictim.lane, row_);
        if (is_set_) {
            cell.store(9, std::memory_order_relaxed);
        } else {
            add_to_cell(cell, static_cast<std::uint64_t>(-2));
        }
    }

    void peers(const Arena& arena) override {
        add_to_cell(arena.segment.metrics().cell(kPeer.lane, row_), 1);
    }

    std::string verify(Arena& arena, Fate fate) override {
        const std::int64_t total = gauge_total(arena.segment.metrics(), row_);
        return total == (fate.peers_ran ? 4 : 3) ? "" : "total " + std::to_string(total);
    }

  private:
    bool is_set_;
    std::uint32_t row_ = 0;
};

/// The victim and its peers record the same number, which each has recorded before.
class HistogramRecord : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "histogram record"; }

    void setup(const Arena& arena) override {
        const shm::HistogramView view = arena.segment.histogram(0);
        for (auto* lane : {&view.lanes()[kVictim.lane], &view.lanes()[kPeer.lane]}) {
            lane->cell[LogLinear::bucket_of(kTime)].store(41);
        }
    }

    void run(const Arena& arena) override {
        arena.segment.histogram(0).record(kVictim.lane, kTime);
    }

    void peers(const Arena& arena) override {
        arena.segment.histogram(0).record(kPeer.lane, kTime);
    }

    std::string verify(Arena& arena, Fate fate) override {
        const LogLinearCounts counts = arena.segment.histogram(0).merged();
        const std::uint64_t own = counts.count() - 41 - (fate.peers_ran ? 1 : 0);
        const std::uint64_t median = counts.percentile(50);
        if (median != LogLinear::highest_of(LogLinear::bucket_of(kTime)) ||
            counts.max() != median) {
            return "the median is " + std::to_string(median);
        }
        return own == 42 || (own == 41 && !fate.is_done)
                   ? ""
                   : std::to_string(counts.count()) + " are counted";
    }

  private:
    static constexpr std::uint64_t kTime = 1'000'000;
};

TEST(TortureTest, HistogramRecord) {
    SKIP_WITHOUT_PTRACE();
    HistogramRecord operation;
    expect_survives(operation);
}

TEST(TortureTest, CounterAdd) {
    SKIP_WITHOUT_PTRACE();
    CounterAdd operation;
    expect_survives(operation);
}

TEST(TortureTest, GaugeSet) {
    SKIP_WITHOUT_PTRACE();
    GaugeChange operation(true);
    expect_survives(operation);
}

TEST(TortureTest, GaugeAdd) {
    SKIP_WITHOUT_PTRACE();
    GaugeChange operation(false);
    expect_survives(operation);
}

}  // namespace
}  // namespace topsman::torture
