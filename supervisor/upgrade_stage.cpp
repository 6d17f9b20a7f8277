#include "supervisor/upgrade_stage.hpp"

namespace topsman::supervisor {

void reached(UpgradeStage /*stage*/) {}

}  // namespace topsman::supervisor
