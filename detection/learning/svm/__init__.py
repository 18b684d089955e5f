"""Linear SVMs: the solver, and mining of hard negatives."""
