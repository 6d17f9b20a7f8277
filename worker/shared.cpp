// What a worker shares by name: each function looks the name up or registers it, and prepares the
// payload of a new row before the row is published.

#include "shm/atomic_words.hpp"
#include "shm/named_mutex.hpp"
#include "topsman/worker.hpp"
#include "worker/mutex_state.hpp"
#include "worker/process.hpp"

#include <cstring>

namespace topsman {

namespace {

using detail::Process;

Result<std::uint32_t> row_of(Process& process, shm::NameTable& table, std::string_view name,
                             shm::NameKind kind, std::size_t size,
                             const std::function<void(std::uint32_t)>& prepare) {
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    return table.find_or_add(name, kind, static_cast<std::uint32_t>(size), process.owner, prepare);
}

// A counter's cell is never reset: what a former holder of the row's name counted stays counted.
void nothing_to_prepare(std::uint32_t /*row*/) {}

}  // namespace

Result<Counter> Worker::counter(std::string_view name) {
    const auto row = row_of(*process_, *process_->metric_names, name, shm::NameKind::Counter, 0,
                            nothing_to_prepare);
    if (!row) {
        return row.error();
    }
    return Counter(process_->first_cell + *row);
}

Result<Gauge> Worker::gauge(std::string_view name) {
    const auto row = row_of(*process_, *process_->metric_names, name, shm::NameKind::Gauge, 0,
                            nothing_to_prepare);
    if (!row) {
        return row.error();
    }
    return Gauge(process_->first_cell + *row);
}

Result<Mutex> Worker::mutex(std::string_view name, Mutex::Repair repair) {
    if (!repair) {
        return plain_error("mutex " + std::string(name) +
                           ": say how to repair what it guards when a holder dies");
    }
    if (detail::is_detached()) {
        return detail::detached_error();
    }
    const auto row =
        shm::find_or_make_mutex(*process_->mutex_names, process_->mutexes, name, process_->owner);
    if (!row) {
        return row.error();
    }
    return Mutex(std::make_shared<detail::MutexState>(detail::MutexState{
        &process_->mutexes[*row], process_->owner, std::move(repair), std::string(name)}));
}

Result<shm::TxCellStorage*> Worker::find_cell(std::string_view name, const void* initial,
                                              std::size_t size) {
    const auto row = row_of(*process_, *process_->cell_names, name, shm::NameKind::Cell, size,
                            [&](std::uint32_t i) { process_->tx_cells[i].init(initial, size); });
    if (!row) {
        return row.error();
    }
    return &process_->tx_cells[*row];
}

Result<detail::WordPlace> Worker::find_atomic(std::string_view name, const void* initial,
                                              std::size_t size) {
    const auto row = row_of(*process_, *process_->object_names, name, shm::NameKind::Atomic, size,
                            [&](std::uint32_t i) {
                                shm::SharedObject& object = process_->objects[i];
                                object.clear();
                                shm::store_words(object.word, initial, size);
                            });
    if (!row) {
        return row.error();
    }
    shm::SharedObject& object = process_->objects[*row];
    return detail::WordPlace{object.word, &object.parking, false};
}

Result<shm::SharedArrayStorage*> Worker::find_array(std::string_view name, std::size_t elements,
                                                    std::size_t element_bytes) {
    const std::string array = "array " + std::string(name) + ": ";
    if (elements == 0 || elements > shm::kMaxArrayBytes / element_bytes) {
        return plain_error(array + "it can have 1 to " +
                               std::to_string(shm::kMaxArrayBytes / element_bytes) +
                               " elements of " + std::to_string(element_bytes) + " bytes, not " +
                               std::to_string(elements),
                           std::errc::invalid_argument);
    }
    const auto row = row_of(*process_, *process_->array_names, name, shm::NameKind::Array,
                            elements * element_bytes, [&](std::uint32_t i) {
                                process_->arrays[i].init(static_cast<std::uint32_t>(element_bytes));
                            });
    if (!row) {
        return row.error();
    }
    shm::SharedArrayStorage& storage = process_->arrays[*row];
    if (storage.element_bytes != element_bytes) {
        return plain_error(array + "its elements have " + std::to_string(storage.element_bytes) +
                           " bytes, not " + std::to_string(element_bytes));
    }
    return &storage;
}

std::vector<Worker::Total> Worker::counter_totals() const {
    std::vector<Total> totals;
    for (const auto& entry : process_->metric_names->entries()) {
        if (entry.kind != shm::NameKind::Counter) {
            continue;
        }
        const std::uint64_t total =
            has_segment() ? shm::counter_total(process_->segment->metrics(), entry.row)
                          : process_->first_cell[entry.row].load(std::memory_order_relaxed);
        totals.push_back({entry.name, total});
    }
    return totals;
}

}  // namespace topsman
