from detection.commands.train_classifier import main

if __name__ == "__main__":
    raise SystemExit(main())
