// Counters and gauges: one store to a cell of one's own.

#include "expect.hpp"
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
