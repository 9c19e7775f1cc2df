"""What saliency is by chance: permutations of the labels."""
