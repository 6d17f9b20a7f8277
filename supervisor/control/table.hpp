#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace topsman::control {

enum class Tint : unsigned char { Plain, Bold, Dim, Good, Warn, Bad };

/// `text` in that colour, or as it is when `color` is off.
[[nodiscard]] std::string tinted(const std::string& text, Tint tint, bool color);

/// An aligned table that fits itself into a width: columns are dropped, the least important first,
/// and the last column is cut. Lines never end in blanks.
class Table {
  public:
    struct Column {
        std::string title;
        bool right = false;     ///< numbers
        int importance = 0;     ///< the lowest is dropped first
        bool flexible = false;  ///< may be cut, down to kShortest
    };

    struct Cell {
        std::string text;
        Tint tint = Tint::Plain;
    };

    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

    /// As many cells as there are columns.
    void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }

    [[nodiscard]] bool empty() const noexcept { return rows_.empty(); }

    /// `columns` 0: as wide as it gets. A column with nothing in it is left out.
    [[nodiscard]] std::string render(std::size_t columns, bool color, std::size_t indent = 0) const;

  private:
    static constexpr std::size_t kShortest = 10;
    static constexpr std::size_t kGap = 2;

    [[nodiscard]] std::vector<std::size_t> natural_widths() const;
    void fit(std::vector<std::size_t>& widths, std::size_t room) const;
    void append_line(std::string& out, const std::vector<Cell>& row,
                     const std::vector<std::size_t>& widths, std::size_t indent, bool color) const;

    std::vector<Column> columns_;
    std::vector<std::vector<Cell>> rows_;
};

}  // namespace topsman::control
