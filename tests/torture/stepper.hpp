#pragma once

// Runs an operation in a process of its own, one instruction at a time, by ptrace(2): so it can be
// stopped, killed or resumed at every point at which a SIGKILL could ever hit it.
//
// On x86 a kill never loses a store that was retired, so what memory holds between two instructions
// is all that the others can ever see of the dead. Victim and tracer share one CPU: a step is two
// switches on it, instead of two wake-ups of another.

#include <cstdint>
#include <functional>
#include <sys/types.h>
#include <utility>

namespace topsman::torture {

/// May this process single-step its children? Not in some containers (seccomp), nor where the
/// harness does not know the machine's registers.
[[nodiscard]] bool can_step();

class Stepper {
  public:
    /// Forks; returns when the child stands before the first instruction of `operation`.
    explicit Stepper(const std::function<void()>& operation);

    ~Stepper() { kill(); }

    Stepper(Stepper&& other) noexcept : pid_(std::exchange(other.pid_, -1)), steps_(other.steps_) {}

    Stepper(const Stepper&) = delete;
    Stepper& operator=(const Stepper&) = delete;
    Stepper& operator=(Stepper&&) = delete;

    /// One instruction. False: the operation is over, nothing was executed.
    bool step();

    /// Until it has executed `count` instructions. False: it was over before.
    bool step_to(std::uint64_t count);

    [[nodiscard]] bool is_over() const;

    [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }

    /// A second process that stands where this one stands: the victim is made to fork there. Not
    /// for who holds a lock, as the kernel knows that by the thread's id.
    [[nodiscard]] Stepper twin() const;

    void finish();  ///< lets it run to its end
    void kill();    ///< SIGKILL; reaped, and all its locks released, when it returns

  private:
    Stepper(pid_t pid, std::uint64_t steps) noexcept : pid_(pid), steps_(steps) {}

    void execute_one() const;

    pid_t pid_ = -1;
    std::uint64_t steps_ = 0;
};

}  // namespace topsman::torture
