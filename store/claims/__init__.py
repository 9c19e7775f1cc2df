"""Who writes what: one worker a partition, on local disks and in object stores."""
