"""Binary files of other programs: MATLAB's and pickles, read in a process of their own."""
