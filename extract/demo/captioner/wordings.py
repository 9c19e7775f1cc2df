"""Wordings of everything that captions tell."""

WORDINGS: dict[str, tuple[str, ...]] = {
    "Panic": (
        "People flee in a hurry.",
        "A crowd rushes past.",
        "Many people rush and flee.",
        "A crowd of people runs.",
    ),
    "Explosion": (
        "A fire burns and smoke rises.",
        "Flames burst out with thick smoke.",
        "Fire and thick smoke.",
        "An explosion with flames.",
    ),
    "VehicleOnWalkway": (
        "{A} van drives on the pavement.",
        "{A} van rolls along the walkway.",
        "Across the walkway rolls {a} van.",
        "There is {a} van on the pavement.",
    ),
    "Fighting": (
        "Two people fight.",
        "Two people hit each other.",
        "A fight between two people.",
        "Two people beat and shove each other.",
    ),
    "AbandonedObject": (
        "{A} suitcase stands there alone.",
        "There is {a} suitcase without its owner.",
        "Somebody left {a} suitcase on the ground.",
        "On the ground stands {a} suitcase, alone.",
    ),
    "Cycling": (
        "Somebody rides {a} bicycle along the walkway.",
        "A cyclist on {a} bicycle passes.",
        "A rider on {a} bicycle comes along.",
        "A person cycles past on {a} bicycle.",
    ),
    "Jogging": (
        "Somebody jogs past.",
        "A jogger comes along the walkway.",
        "A person in sportswear is jogging.",
        "One person runs for exercise.",
    ),
    "Playing": (
        "Children play with each other.",
        "Playing children hop about.",
        "Some children are at play.",
        "Children romp in a game.",
    ),
    "Hugging": (
        "Two people hug each other.",
        "Two people greet with a hug.",
        "Two people embrace.",
        "Two friends hold each other in their arms.",
    ),
    "Dancing": (
        "Two people dance.",
        "Two people are dancing together.",
        "A dance of two people.",
        "Two dancers move to music.",
    ),
    "Delivery": (
        "{A} van stops on the road for a delivery.",
        "{A} van is parked at the kerb.",
        "At the kerb stands {a} van with its parcels.",
        "{A} van halts on the road.",
    ),
    "BagSetDown": (
        "Somebody sets {a} bag down and stays with it.",
        "{A} bag stands beside its owner.",
        "A person puts {a} bag on the ground.",
        "A person keeps {a} bag close by.",
    ),
    "CaseCarried": (
        "Somebody carries {a} suitcase.",
        "A person with {a} suitcase in the hand walks by.",
        "Somebody walks with {a} suitcase in the hand.",
        "{A} suitcase is carried past.",
    ),
    "Steam": (
        "Steam rises from the ground.",
        "A white cloud of steam drifts.",
        "Steam comes out of a grate.",
        "There is a plume of steam.",
    ),
    "BicyclePushed": (
        "Somebody pushes {a} bicycle.",
        "A person on foot leads {a} bicycle.",
        "Somebody on foot pushes {a} bicycle along.",
        "{A} bicycle is pushed past.",
    ),
    "Sitting": (
        "Somebody sits on a bench.",
        "A person rests on a bench.",
        "There is a person on a bench.",
        "A bench with somebody who sits there.",
    ),
    "LeashedDog": (
        "Somebody walks a dog on a leash.",
        "A dog on a leash walks beside a person.",
        "A person leads a dog on its leash.",
        "There goes somebody with a dog on a leash.",
    ),
    "Waiting": (
        "Somebody waits with a telephone.",
        "A person stands still and waits.",
        "Somebody stands there and reads a telephone.",
        "A person waits in one place.",
    ),
    "LadderWork": (
        "A worker stands on a ladder.",
        "Somebody in a vest works on a ladder.",
        "On a ladder works a person in a vest.",
        "There is a ladder with a worker on it.",
    ),
    "street": (
        "A street with a road.",
        "This is a street.",
        "The camera shows a road and a walkway.",
        "Houses stand along a road.",
    ),
    "walkway": (
        "A path between trees.",
        "This is a path by a lawn.",
        "The camera shows trees and a lawn.",
        "Trees stand along a path.",
    ),
    "square": (
        "A square before a house.",
        "This is a paved square.",
        "The camera shows a house front.",
        "A house stands at a square.",
    ),
    "parking": (
        "A parking lot.",
        "This is a lot with parked cars.",
        "The camera shows parking bays.",
        "Cars stand in parking bays.",
    ),
    "dusk": (
        "It is getting dark.",
        "The light is dim.",
        "It is dusk.",
        "The evening has come.",
    ),
    "rain": (
        "It rains.",
        "Rain comes down.",
        "The ground is wet with rain.",
        "It is a rainy day.",
    ),
    "no cars": (
        "The road is free of cars.",
        "The road is empty.",
        "There is not a car on the road.",
    ),
    "car": (
        "A car drives slowly on the road.",
        "One car passes in the background.",
        "On the road drives a car.",
    ),
    "cars": (
        "Cars drive slowly on the road.",
        "A few cars pass in the background.",
        "On the road drive several cars.",
    ),
    "people0": (
        "Nobody walks there.",
        "Nobody is on foot.",
        "There is nobody who walks.",
    ),
    **{
        f"people{number}": (
            f"{who} walk past.",
            f"{who} are walking there.",
            f"Pedestrians: {who[0].lower()}{who[1:]}.",
            f"There walk {who[0].lower()}{who[1:]}.",
        )
        for number, who in enumerate(("Two people", "Three people", "Four people", "Five people", "Many people"), 2)
    },
    "people1": (
        "One person walks past.",
        "Somebody is walking there.",
        "A pedestrian walks across.",
        "There walks one person.",
    ),
}
"""Wordings of each subject; {a} stands for "a" or "an" and a colour, {A} for the same with a capital letter."""
