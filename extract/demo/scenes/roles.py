"""Roles of tracks: who or what moves through a picture, and the happening that shows it."""

ROLES: dict[str, tuple[str, ...]] = {
    "": ("walker", "car", "bench"),
    "Panic": ("runner",),
    "Explosion": ("fire", "smoke"),
    "VehicleOnWalkway": ("van",),
    "Fighting": ("fighter",),
    "AbandonedObject": ("case",),  # who brings or takes it is a carrier while the case is in the hand
    "Cycling": ("cyclist",),
    "Fall": ("fallen",),
    "Climbing": ("climber",),
    "LooseAnimal": ("dog",),
    "Loitering": ("loiterer",),
    "Jogging": ("jogger",),
    "Playing": ("child",),
    "Hugging": ("hugger",),
    "Dancing": ("dancer",),
    "Delivery": ("delivery",),
    "BagSetDown": ("bag", "bag_owner"),
    "CaseCarried": ("carrier",),
    "Steam": ("steam",),
    "BicyclePushed": ("pusher",),
    "Sitting": ("sitter",),
    "LeashedDog": ("dog_walker", "leashed_dog"),
    "Waiting": ("waiter",),
    "LadderWork": ("ladder", "worker"),
    "Umbrella": ("umbrella",),
    "PramPushed": ("pram",),
    "BroomSweeping": ("sweeper",),
}
"""Roles by happening; those of "" may be in every video."""

KIND_OF = {role: kind for kind, roles in ROLES.items() for role in roles}
"""Happening of each role; "" of passers-by and cars."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (225, 225, 230),
    "red": (205, 45, 40),
    "yellow": (235, 180, 40),
    "blue": (40, 90, 190),
    "orange": (230, 120, 30),
    "green": (60, 140, 70),
}
"""Colours that captions tell: of vans, cases, bags and bicycles."""
