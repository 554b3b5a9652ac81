#include "training/settings.h"

namespace poise {

TrainSettings TrainSettings::read(Config& config) {
  TrainSettings s{};
  s.epochs = config.integer("epochs", 20, {.min = 1}, "visits of the training split");
  s.batch_size = config.integer("batch_size", 64, {.min = 2}, "samples a step");
  s.loader_threads = config.integer("loader_threads", 1, {.min = 1, .max = 64}, "threads that fetch ahead");
  s.clip = config.number("clip", 0, {.min = 0}, "largest L2 norm of all gradients together; 0: no clipping");

  Config optimizer = config.table("optimizer");
  auto& o = s.optimizer;
  o.name = optimizer.choice("name", "sgd", {"sgd", "adam", "adamw"}, "the optimiser");
  o.lr = optimizer.number("lr", o.name == "sgd" ? 0.01 : 0.001, {.min = 0}, "learning rate");
  o.weight_decay = optimizer.number("weight_decay", 0, {.min = 0}, "L2 penalty (sgd, adam) or decay (adamw)");
  if (o.name == "sgd") {
    o.momentum = optimizer.number("momentum", 0.9, {.min = 0, .max = 1}, "momentum");
    o.nesterov = optimizer.boolean("nesterov", false, "Nesterov's momentum");
    if (o.nesterov && o.momentum == 0) {
      optimizer.fail("nesterov", "train.optimizer.nesterov needs a momentum above 0.");
    }
  } else {
    o.beta1 = optimizer.number("beta1", 0.9, {.min = 0, .max = 0.999999}, "decay of the gradient's mean");
    o.beta2 = optimizer.number("beta2", 0.999, {.min = 0, .max = 0.999999}, "decay of the square's mean");
    o.epsilon = optimizer.number("epsilon", 1e-8, {.min = 0}, "added to the root of the square's mean");
  }

  Config schedule = config.table("schedule");
  auto& c = s.schedule;
  c.name = schedule.choice("name", "constant", {"constant", "step", "cosine"}, "course of the learning rate");
  c.warmup_epochs = schedule.integer("warmup_epochs", 0, {.min = 0}, "epochs of linear growth before it");
  if (c.warmup_epochs > 0 && c.warmup_epochs >= s.epochs) {
    schedule.fail("warmup_epochs", "train.schedule.warmup_epochs is " + std::to_string(c.warmup_epochs) +
                                       ", but the run has only " + std::to_string(s.epochs) + " epochs.");
  }
  if (c.name == "step") {
    c.step_epochs = schedule.integer("step_epochs", 70, {.min = 1}, "epochs between two steps");
    c.factor = schedule.number("factor", 0.1, {.min = 0, .max = 1}, "factor of each step");
  }
  return s;
}

}  // namespace poise
