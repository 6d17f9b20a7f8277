#pragma once

// A ClusterView as text, for people. Pure: the same view and style give the same text.

#include "supervisor/control/cluster_view.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace topsman::control {

struct TextStyle {
    std::uint32_t columns = 0;  ///< 0: a pipe; nothing is cut or dropped
    bool color = false;
};

/// An earlier look at the same cluster: with it rates and CPU per cent are shown.
struct Before {
    const ClusterView& view;
    double seconds;  ///< between the two
};

[[nodiscard]] std::string status_text(const ClusterView& view, const TextStyle& style,
                                      const Before* before = nullptr);
[[nodiscard]] std::string counters_text(const ClusterView& view, const TextStyle& style,
                                        const Before* before = nullptr);
/// Who has which mutex, since when, and how many wait.
[[nodiscard]] std::string locks_text(const ClusterView& view, const TextStyle& style);
[[nodiscard]] std::string queues_text(const std::vector<QueueLine>& queues, std::size_t columns,
                                      bool color);

}  // namespace topsman::control
