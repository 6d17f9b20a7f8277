#pragma once

// The only randomness of the core: seeded, so that the same run is the same.

#include <cstdint>

namespace topsman::core {

class Jitter {
  public:
    explicit Jitter(std::uint64_t seed) : state_(seed) {}

    /// Evenly spread over [-1, 1). The generator is SplitMix64.
    double next() {
        state_ += 0x9e3779b97f4a7c15U;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
        z ^= z >> 31U;
        return static_cast<double>(z >> 11U) * 0x1p-52 - 1.0;
    }

  private:
    std::uint64_t state_;
};

}  // namespace topsman::core
