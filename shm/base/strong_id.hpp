#pragma once

#include <compare>
#include <cstddef>
#include <functional>

namespace topsman {

/// A number that cannot be mistaken for another kind of number: `struct PoolTag; using PoolId =
/// StrongId<PoolTag, std::uint32_t>;`.
template <class Tag, class Rep>
struct StrongId {
    Rep value{};
    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the comparison with 0 for a null.
    friend constexpr auto operator<=>(StrongId, StrongId) = default;
};

}  // namespace topsman

template <class Tag, class Rep>
struct std::hash<topsman::StrongId<Tag, Rep>> {
    std::size_t operator()(topsman::StrongId<Tag, Rep> id) const noexcept {
        return std::hash<Rep>{}(id.value);
    }
};
