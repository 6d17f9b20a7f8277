#pragma once

// Seeded chance, the same on every machine: the standard's distributions are not.

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <iterator>

namespace topsman::sim {

class Dice {
  public:
    // The first number as the state, or else the next seed's stream is this one's, one later.
    explicit Dice(std::uint64_t seed) : state_(seed) { state_ = number(); }

    std::uint64_t number() {
        state_ += 0x9e3779b97f4a7c15U;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
        return z ^ (z >> 31U);
    }

    /// From 0 to below - 1.
    std::uint64_t below(std::uint64_t limit) { return limit == 0 ? 0 : number() % limit; }

    std::uint64_t between(std::uint64_t low, std::uint64_t high) {
        return low + below(high - low + 1);
    }

    bool chance(double probability) {
        return static_cast<double>(number() >> 11U) * 0x1p-53 < probability;
    }

    template <class T>
    T pick(std::initializer_list<T> values) {
        return *std::next(values.begin(), static_cast<std::ptrdiff_t>(below(values.size())));
    }

    std::chrono::microseconds time(std::chrono::microseconds low, std::chrono::microseconds high) {
        const auto spread = static_cast<std::uint64_t>((high - low).count());
        return low + std::chrono::microseconds(static_cast<std::int64_t>(below(spread + 1)));
    }

  private:
    std::uint64_t state_;
};

}  // namespace topsman::sim
