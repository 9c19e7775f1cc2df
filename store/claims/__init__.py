"""Claims of workers on partitions, on local disks and in object stores."""
