#include "shm/name_table.hpp"

#include "shm/base/check.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

namespace topsman::shm {
namespace {

// Set in every claim, so that the claim of the master (lane 0) is not the word of a free row.
constexpr std::uint64_t kClaimed = std::uint64_t{1} << 63U;

constexpr std::uint64_t claim_of(Owner owner) noexcept {
    return kClaimed | owner.pack();
}

constexpr bool is_letter(char c) noexcept {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool is_name(std::string_view name) noexcept {
    return !name.empty() && name.size() < kNameBytes && is_letter(name[0]) &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-';
           });
}

const char* word_for(NameKind kind) noexcept {
    switch (kind) {
        case NameKind::Counter:
            return "counter";
        case NameKind::Gauge:
            return "gauge";
        case NameKind::Mutex:
            return "mutex";
        case NameKind::Cell:
            return "cell";
        case NameKind::Atomic:
            return "atomic";
        case NameKind::Array:
            return "array";
        case NameKind::BoundedCounter:
            return "bounded counter";
        case NameKind::RateLimit:
            return "rate limit";
        case NameKind::Semaphore:
            return "semaphore";
        case NameKind::Event:
            return "event";
        case NameKind::Barrier:
            return "barrier";
        case NameKind::None:
            break;
    }
    return "name";
}

std::string with_article(std::string_view word) {
    return (word[0] == 'a' || word[0] == 'e' ? "an " : "a ") + std::string(word);
}

std::string_view name_of(const NameRow& row) noexcept {
    return {row.name, ::strnlen(row.name, kNameBytes)};
}

void fill_in(NameRow& row, std::string_view name, NameKind kind, std::uint32_t size) noexcept {
    row.kind = kind;
    row.size = size;
    std::memset(row.name, 0, kNameBytes);
    std::memcpy(row.name, name.data(), name.size());
}

Result<std::uint32_t> checked(std::uint32_t index, const NameRow& row, std::string_view name,
                              NameKind kind, std::uint32_t size) {
    if (row.kind != kind) {
        return plain_error(std::string(word_for(kind)) + " " + std::string(name) +
                           ": the name is taken by " + with_article(word_for(row.kind)));
    }
    if (row.size != size) {
        return plain_error(std::string(word_for(kind)) + " " + std::string(name) + ": it has " +
                           std::to_string(row.size) + " bytes, not " + std::to_string(size));
    }
    return index;
}

}  // namespace

void NameTable::init(std::uint32_t rows) noexcept {
    CHECK(rows <= kMaxRows);
    rows_ = rows;
    reserved_ = 0;
    for (std::uint32_t i = 0; i < kMaxRows; ++i) {
        order_[i].store(0, std::memory_order_relaxed);
        row_[i].claim.store(0, std::memory_order_relaxed);
        row_[i].kind = NameKind::None;
        row_[i].size = 0;
        std::memset(row_[i].name, 0, kNameBytes);
    }
}

std::uint32_t NameTable::rows() const noexcept {
    return std::min(rows_, kMaxRows);
}

/// Calls visitor(row index) for each published row until it returns true; an illegal entry is
/// passed over.
template <class Visit>
void NameTable::visit(Visit&& visitor) const noexcept {
    for (std::uint32_t i = 0; i < rows(); ++i) {
        const std::uint32_t entry = order_[i].load(std::memory_order_acquire);
        if (entry == 0) {
            return;
        }
        if (entry <= rows() && visitor(entry - 1)) {
            return;
        }
    }
}

Result<std::uint32_t> NameTable::find_or_add(std::string_view name, NameKind kind,
                                             std::uint32_t size, Owner owner,
                                             const std::function<void(std::uint32_t)>& prepare) {
    if (!is_name(name)) {
        return plain_error(std::string(word_for(kind)) + " '" + std::string(name) +
                           "': a name is a letter, then letters, digits, '_' or '-', at most " +
                           std::to_string(kNameBytes - 1));
    }
    const std::uint64_t claim = claim_of(owner);
    std::optional<std::uint32_t> mine;  // a row that is claimed, filled in, and not yet published
    for (std::uint32_t i = 0; i < rows(); ++i) {
        std::uint32_t entry = order_[i].load(std::memory_order_acquire);
        if (entry == 0 && !mine) {
            mine = claim_row(claim);
            if (mine) {
                fill_in(row_[*mine], name, kind, size);
                if (prepare) {
                    prepare(*mine);
                }
            } else {
                entry = order_[i].load(std::memory_order_acquire);
            }
        }
        // The commit point: from this exchange on everybody finds the row.
        if (entry == 0 && mine &&
            order_[i].compare_exchange_strong(entry, *mine + 1, std::memory_order_acq_rel,
                                              std::memory_order_acquire)) {
            return *mine;
        }
        if (entry == 0) {
            break;  // no free row, and nobody has published the name meanwhile
        }
        if (entry <= rows() && name_of(row_[entry - 1]) == name) {
            if (mine) {
                row_[*mine].claim.store(0, std::memory_order_release);
            }
            return checked(entry - 1, row_[entry - 1], name, kind, size);
        }
    }
    if (mine) {
        row_[*mine].claim.store(0, std::memory_order_release);
    }
    return plain_error(std::string(word_for(kind)) + " " + std::string(name) +
                           ": the table is full (" + std::to_string(rows()) + " names)",
                       std::errc::no_buffer_space);
}

std::optional<std::uint32_t> NameTable::claim_row(std::uint64_t claim) noexcept {
    for (std::uint32_t i = 0; i < rows(); ++i) {
        std::uint64_t nobody = 0;
        if (row_[i].claim.load(std::memory_order_relaxed) == 0 &&
            row_[i].claim.compare_exchange_strong(nobody, claim, std::memory_order_acq_rel)) {
            return i;
        }
    }
    return std::nullopt;
}

std::optional<NameTable::Entry> NameTable::find(std::string_view name, NameKind kind) const {
    std::optional<Entry> found;
    visit([&](std::uint32_t index) {
        const NameRow& row = row_[index];
        if (row.kind == kind && name_of(row) == name) {
            found = Entry{index, kind, row.size, std::string(name)};
        }
        return found.has_value();
    });
    return found;
}

std::vector<NameTable::Entry> NameTable::entries() const {
    std::vector<Entry> entries;
    visit([this, &entries](std::uint32_t index) {
        const NameRow& row = row_[index];
        const std::string name(name_of(row));
        if (is_name(name) && row.kind > NameKind::None && row.kind <= kLastNameKind) {
            entries.push_back(Entry{index, row.kind, row.size, name});
        }
        return false;
    });
    return entries;
}

std::array<NameKind, NameTable::kMaxRows> NameTable::kinds() const noexcept {
    std::array<NameKind, kMaxRows> kinds{};
    visit([this, &kinds](std::uint32_t index) {
        kinds[index] = row_[index].kind;
        return false;
    });
    return kinds;
}

bool NameTable::is_published(std::uint32_t row) const noexcept {
    bool is_found = false;
    visit([row, &is_found](std::uint32_t index) { return is_found = index == row; });
    return is_found;
}

void NameTable::sweep(Owner dead) noexcept {
    for (std::uint32_t i = 0; i < rows(); ++i) {
        if (row_[i].claim.load(std::memory_order_acquire) == claim_of(dead) && !is_published(i)) {
            row_[i].claim.store(0, std::memory_order_release);
        }
    }
}

}  // namespace topsman::shm
