#pragma once

// A listening socket of TCP: how it is bound, beside our own that are in the way, and why it cannot
// be, in words that the operator can act on.

#include "config/model.hpp"
#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"
#include "supervisor/posix/address.hpp"
#include "supervisor/posix/listener.hpp"

#include <cstdint>
#include <vector>

namespace topsman::posix {

/// Try: it is bound, and never listens, so that nobody gets in.
enum class Use : std::uint8_t { Listen, Try };

/// `bound` are our own; those that are in the way let it in. Error: what the kernel refuses, with
/// who has the port where that can be seen.
[[nodiscard]] Result<UniqueFd> bind_inet(const config::Listener& spec, const Address& address,
                                         const std::vector<BoundListener>& bound, Use use);

}  // namespace topsman::posix
