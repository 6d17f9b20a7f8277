#pragma once

// What each pool's workers are started from, by generation: an older one is kept as long as a slot
// may start it again.

#include "config/model.hpp"
#include "supervisor/core/supervisor_core.hpp"
#include "supervisor/core/types.hpp"
#include "supervisor/spec.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace topsman::supervisor {

/// By generation, then by pool name.
using SpecsByGeneration = std::map<core::Generation, Specs>;

/// Null: there is none.
[[nodiscard]] SpecPtr find_spec(const SpecsByGeneration& generations, core::Generation generation,
                                const std::string& pool);

class SpecBook {
  public:
    /// Null: there is none.
    [[nodiscard]] SpecPtr find(core::Generation generation, const std::string& pool) const {
        return find_spec(generations_, generation, pool);
    }

    /// Of what the newest generation of a pool is started from; 0: there is none.
    [[nodiscard]] std::uint64_t fingerprint(const core::PoolView& pool) const;

    /// Each pool's newest generation is started from what was prepared, if that is what the
    /// configuration in force says of it.
    void install(const Specs& prepared, const std::vector<core::PoolView>& pools,
                 const config::Config& config);

    /// What was read again from the disk, for generations in use. One that a reload has replaced
    /// meanwhile stays: what is read for a restart is older than it.
    void renew(const SpecsByGeneration& renewed);

    /// Those of a dead master.
    void restore(SpecsByGeneration generations) { generations_ = std::move(generations); }

    /// Forgets all others. True: there were some.
    bool keep_only(const std::set<core::Generation>& generations);

    [[nodiscard]] const SpecsByGeneration& all() const { return generations_; }

  private:
    SpecsByGeneration generations_;
};

}  // namespace topsman::supervisor
