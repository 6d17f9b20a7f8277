#pragma once

// What a Segment is made of; for the segment*.cpp alone, which are the only ones to know Boost.

#include "shm/header.hpp"
#include "shm/segment.hpp"

#include <boost/interprocess/mapped_region.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace topsman::shm {

struct Segment::Impl {
    UniqueFd fd;
    bool is_masters = false;
    boost::interprocess::mapped_region region;
    Layout layout;

    [[nodiscard]] std::byte* base() const noexcept {
        return static_cast<std::byte*>(region.get_address());
    }

    [[nodiscard]] Header& header() const noexcept { return *reinterpret_cast<Header*>(base()); }

    template <class T>
    [[nodiscard]] std::span<T> all(Part part) const noexcept {
        const DirectoryEntry& entry = layout.directory[static_cast<std::size_t>(part)];
        return {reinterpret_cast<T*>(base() + entry.offset), entry.size / sizeof(T)};
    }

    template <class T>
    [[nodiscard]] T& one(Part part) const noexcept {
        return all<T>(part).front();
    }

    template <class T, class Allocator>
    void construct(Allocator& buffer, Part part);
    void construct_all();
    void write_header(const Place& place);

    [[nodiscard]] Result<void> has_room(const std::string& what, Late kind, std::size_t most,
                                        std::size_t bytes) const;
    void publish_last(Late kind) noexcept;
    [[nodiscard]] std::byte* place_of(Late kind, std::size_t index) const noexcept;

    static Result<std::unique_ptr<Impl>> open(const std::string& name, UniqueFd fd,
                                              std::uint64_t file_size,
                                              boost::interprocess::mode_t mode);
    /// Ours, and such as the options say.
    static Result<std::unique_ptr<Impl>> open_left(const Options& options,
                                                   boost::interprocess::mode_t mode);
};

}  // namespace topsman::shm
