//! Open- and closed-loop HTTP load, histograms and the self-check.
