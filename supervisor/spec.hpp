#pragma once

// What a worker is started from, prepared before it is needed: everything of a pool's configuration
// that takes a look at the disk or at the user database, which may be slow or on a network. The
// master's loop never does that; loading a file does (config_loader.hpp), on a thread of its own.

#include "config/model.hpp"
#include "shm/base/result.hpp"
#include "supervisor/posix/launcher.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace topsman::supervisor {

struct Spec {
    config::Pool pool;
    config::Origin origin;                        ///< of the configuration that it is a pool of
    std::map<std::string, std::string> env_file;  ///< what the file held
    std::optional<posix::Identity> identity;      ///< none: the master's own
    std::vector<std::pair<int, std::int64_t>> limits;
    /// Of all that exec is given: a master that finds a worker of another one running knows whether
    /// the file still says the same. Not 0.
    std::uint64_t fingerprint = 0;
};

using SpecPtr = std::shared_ptr<const Spec>;

/// By pool name.
using Specs = std::map<std::string, SpecPtr>;

/// The same to execute, with the policies that are in force now: those are the pool's, not the
/// generation's.
[[nodiscard]] SpecPtr with_policies(const SpecPtr& spec, const config::Pool& policies);

/// Blocks on the disk and on the user database. The error names the pool and its key.
[[nodiscard]] Result<Specs> prepare_specs(const config::Config& config);
[[nodiscard]] Result<SpecPtr> prepare_spec(const config::Pool& pool, const config::Origin& origin);

/// The same without a look at the file of variables: as they were.
[[nodiscard]] Result<SpecPtr> restore_spec(const config::Pool& pool, const config::Origin& origin,
                                           std::map<std::string, std::string> env_file);

}  // namespace topsman::supervisor
