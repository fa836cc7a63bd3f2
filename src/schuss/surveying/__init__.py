"""The ground under a run, looked at afterwards with every tool of landscape/."""
